//! Backups to a store that speaks the S3 protocol and back: the real binaries, a store on loopback, and for what no real
//! node does a stand-in.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use meridian_proto::livechat::v1::BackupHead;
use serde_json::Value;
use support::real::{RealNode, node_binary};
use support::store::{BUCKET, KEY_ID, SECRET, Store, asks};
use support::{Node, Script, command, dead_url, err, out, run};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// `meridian` with what the store asks for.
async fn meridian(store: &Store, args: &[&str]) -> Output {
    let mut command = command(args);
    store.lets(&mut command);
    run(command).await
}

/// `meridian-node` with what the store asks for; what it brings goes into `temporary`.
async fn offline(store: &Store, temporary: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(node_binary());
    command.args(args).env("TMPDIR", temporary);
    store.lets(&mut command);
    run(command).await
}

fn files_in(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_comes_back_from_a_store() {
    let (store, dir) = (Store::start(), tempfile::tempdir().unwrap());
    let temporary = tempfile::tempdir().unwrap();
    let node = RealNode::start();
    let url = node.url();
    let member = format!("1=eu-west@{}", node.peer);
    for args in [
        &["cluster", "init", "--member", &member][..],
        &["apply", "-f", &support::world_file()],
        &["chats", "start", "--queue", "support", "--language", "en"],
    ] {
        let common = ["--endpoint", &url, "--timeout", "30s"];
        let done = meridian(&store, &[args, &common].concat()).await;
        assert_eq!(done.status.code(), Some(0), "{}", err(&done));
    }

    let place = format!("s3://{BUCKET}/eu/daily");
    let create = ["backup", "create", &place, "--endpoint", &url, "-o", "json"];
    let created = meridian(&store, &create).await;
    assert_eq!(created.status.code(), Some(0), "{}", err(&created));
    let created = json(&out(&created));
    let file = created["file"].as_str().unwrap();
    assert!(file.starts_with(&format!("{place}/meridian-0")), "{file}");
    assert_eq!(store.holds().objects.len(), 1);

    let listed = json(&out(&meridian(
        &store,
        &["backup", "list", &place, "-o", "json"],
    )
    .await));
    let first = &listed.as_array().unwrap()[0];
    for told in ["file", "bytes", "log_index"] {
        assert_eq!(first[told], created[told], "{told}");
    }
    assert_eq!(first["written_at"], "2026-11-25T14:30:00.000Z");
    // Only what lies right there, and looks like a backup.
    let above = format!("s3://{BUCKET}/eu");
    let above = meridian(&store, &["backup", "list", &above, "-o", "json"]).await;
    assert_eq!(out(&above), "[]\n", "{}", err(&above));

    let verified = offline(&store, temporary.path(), &["verify", file]).await;
    assert!(verified.status.success(), "{}", err(&verified));
    let hash = created["state_hash"].as_str().unwrap();
    assert!(out(&verified).contains(hash), "{}", out(&verified));
    assert!(out(&verified).starts_with(file), "{}", out(&verified));

    let data = dir.path().join("2");
    let data_given = data.display().to_string();
    let first = [
        "--data",
        &data_given,
        "--node-id",
        "2",
        "--region",
        "eu-west",
    ];
    let first = [&first[..], &["--peer-address", "127.0.0.1:1"]].concat();
    let restore = [&["restore", "--from", file], &first[..]].concat();
    let restored = offline(&store, temporary.path(), &restore).await;
    assert!(restored.status.success(), "{}", err(&restored));
    assert_eq!(
        (files_in(dir.path()), files_in(temporary.path())),
        (1, 0),
        "what was brought is gone"
    );
    let again = offline(&store, temporary.path(), &restore).await;
    assert!(err(&again).contains("is not empty"), "{}", err(&again));

    let restored = RealNode::start_on(2, "eu-west", &data);
    let url = restored.url();
    let list = ["chats", "list", "--fresh", "-o", "json", "--endpoint", &url];
    // It starts, and is elected by itself.
    let mut shown = meridian(&store, &list).await;
    for _ in 0..300 {
        if shown.status.code() == Some(0) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        shown = meridian(&store, &list).await;
    }
    assert_eq!(shown.status.code(), Some(0), "{}", err(&shown));
    let chats = json(&out(&shown));
    assert_eq!(chats.as_array().map(Vec::len), Some(1), "{chats}");

    let status = meridian(&store, &["cluster", "status", "--endpoint", &url]).await;
    let told = format!("from {file}: cluster 'meridian'");
    assert!(out(&status).contains(&told), "{}", out(&status));

    // A bit that turned in the store is found, and nothing is made of it.
    let key = file.strip_prefix(&format!("s3://{BUCKET}/")).unwrap();
    let mut bytes = store.holds().objects[key].to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    store.holds().objects.insert(key.to_owned(), bytes.into());
    let third = dir.path().join("3").display().to_string();
    let mut restore = restore.clone();
    restore[4] = &third;
    for args in [&["verify", file][..], &restore] {
        let refused = offline(&store, temporary.path(), args).await;
        assert!(!refused.status.success());
        assert!(err(&refused).contains(file), "{}", err(&refused));
    }
    // And it stays as it is: another backup of that name is refused.
    let differs = meridian(&store, &create).await;
    assert_eq!(differs.status.code(), Some(1), "{}", out(&differs));
    assert!(
        err(&differs).contains("is there already and differs"),
        "{}",
        err(&differs)
    );
    let missing = offline(
        &store,
        temporary.path(),
        &["verify", &format!("{place}/none.backup")],
    )
    .await;
    assert!(
        err(&missing).contains("does not exist"),
        "{}",
        err(&missing)
    );
    assert_eq!((files_in(dir.path()), files_in(temporary.path())), (1, 0));
}

/// More than two parts of an upload.
fn long() -> Vec<u8> {
    (0..20u32 << 18)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect()
}

/// A stand-in that has this backup.
async fn with_backup(data: Vec<u8>, change: impl FnOnce(&mut Script)) -> Node {
    let mut script = Script {
        backup: BackupHead {
            cluster_id: "meridian".to_owned(),
            log_index: 7,
            bytes: data.len() as u64,
            crc32c: crc32c::crc32c(&data),
            ..Default::default()
        },
        backup_data: data,
        ..Default::default()
    };
    change(&mut script);
    Node::start(script).await
}

const KEY: &str = "p/meridian-000000000007.backup";

async fn create(store: &Store, node: &Node) -> Output {
    let place = format!("s3://{BUCKET}/p/");
    meridian(
        store,
        &["backup", "create", &place, "--endpoint", &node.url()],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_backup_goes_in_parts_and_is_written_once() {
    let store = Store::start();
    let node = with_backup(long(), |_| {}).await;
    // The answer to the completion is lost on its way; the work was done.
    store.holds().swallow_completion = true;
    let created = create(&store, &node).await;
    assert_eq!(created.status.code(), Some(0), "{}", err(&created));
    assert_eq!(store.holds().objects[KEY], long());
    let again = create(&store, &node).await;
    assert_eq!(again.status.code(), Some(0), "{}", err(&again));
    assert!(out(&again).contains("was there already"), "{}", out(&again));
    {
        let holds = store.holds();
        assert_eq!((holds.begun, holds.uploads.len()), (1, 0));
    }

    let mut other = long();
    other[0] ^= 1;
    let other = with_backup(other, |_| {}).await;
    let differs = create(&store, &other).await;
    assert_eq!(differs.status.code(), Some(1), "{}", out(&differs));
    let named = format!("s3://{BUCKET}/{KEY} is there already and differs");
    assert!(err(&differs).contains(&named), "{}", err(&differs));
    assert_eq!(store.holds().objects[KEY], long());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_arrive_whole_leaves_nothing() {
    let store = Store::start();
    let lost = tonic::Status::unavailable("the node is gone");
    type Change = Box<dyn FnOnce(&mut Script)>;
    let changes: [(&str, Change); 4] = [
        ("did not arrive whole", Box::new(|s| s.backup.crc32c ^= 1)),
        ("did not arrive whole", Box::new(|s| s.backup.bytes += 1)),
        ("did not arrive whole", Box::new(|s| s.backup.bytes -= 1)),
        ("the node is gone", Box::new(|s| s.backup_end = Some(lost))),
    ];
    for (told, change) in changes {
        let node = with_backup(long(), change).await;
        let failed = create(&store, &node).await;
        assert_ne!(failed.status.code(), Some(0), "{told}");
        assert!(err(&failed).contains(told), "{}", err(&failed));
    }
    // Somebody stops it in the middle.
    let node = with_backup(long(), |script| script.backup_hangs = true).await;
    let place = format!("s3://{BUCKET}/p");
    let mut stopped = command(&["backup", "create", &place, "--endpoint", &node.url()]);
    store.lets(&mut stopped);
    let mut stopped = stopped.spawn().unwrap();
    let before = store.parts_so_far();
    store.has_parts(before + 2).await;
    let pid = stopped.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let status = tokio::task::spawn_blocking(move || stopped.wait().unwrap())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(130));
    let holds = store.holds();
    assert_eq!(
        (holds.begun, holds.uploads.len(), holds.objects.len()),
        (5, 0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_or_is_gone_is_named_with_the_way_out() {
    let store = Store::start();
    let node = with_backup(long(), |_| {}).await;
    let (url, dead) = (store.url(), dead_url().await);
    let (there, https) = (format!("s3://{BUCKET}/p"), url.replace("http:", "https:"));
    let none = "there is no bucket 'nowhere'";
    for (place, endpoint, key_id, secret, exit, told) in [
        (&there[..], &url, "nobody", SECRET, 1, "InvalidAccessKeyId"),
        (&there, &url, KEY_ID, "wrong", 1, "SignatureDoesNotMatch"),
        (
            &there,
            &url,
            KEY_ID,
            "",
            2,
            "AWS_SECRET_ACCESS_KEY is not set",
        ),
        ("s3://nowhere/p", &url, KEY_ID, SECRET, 1, none),
        (&there, &dead, KEY_ID, SECRET, 1, "cannot be reached"),
        // A store in the clear is not asked as if it were not.
        (&there, &https, KEY_ID, SECRET, 1, "cannot be reached"),
        (
            &there,
            &"store:1".to_owned(),
            KEY_ID,
            SECRET,
            2,
            "AWS_ENDPOINT_URL is no URL",
        ),
        ("s3://", &url, KEY_ID, SECRET, 2, "names no bucket"),
        (
            "s3://kept/a//b",
            &url,
            KEY_ID,
            SECRET,
            2,
            "give s3://BUCKET/PREFIX",
        ),
    ] {
        for verb in ["create", "list"] {
            let mut ask = command(&["backup", verb, place, "--endpoint", &node.url()]);
            asks(&mut ask, endpoint, key_id, secret);
            let refused = run(ask).await;
            let why = err(&refused);
            assert_eq!(refused.status.code(), Some(exit), "{why}");
            assert!(why.contains(told) && !why.contains(SECRET), "{why}");
        }
    }
    assert_eq!(node.script().questions, 0, "no node is troubled in vain");

    // It goes in the middle, with a part on its way: what may be left is said too.
    let mut ask = command(&["backup", "create", &there, "--endpoint", &node.url()]);
    store.lets(&mut ask);
    store.holds().silent = true;
    let asked = tokio::spawn(run(ask));
    store.has_parts(1).await;
    store.vanish();
    let failed = asked.await.unwrap();
    assert_eq!(failed.status.code(), Some(1), "{}", out(&failed));
    let why = err(&failed);
    assert!(
        why.contains("cannot be reached") && why.contains("left in the store"),
        "{why}"
    );
}
