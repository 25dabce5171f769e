//! Compiles every `.proto` under `proto/` with protox, so that no system `protoc` is needed.

use std::path::{Path, PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new("proto");
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    let descriptors = protox::compile(&files, [root])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // What clients may ask for by reflection: nothing that nodes only say to each other or to their disks.
    let mut public = descriptors.clone();
    public.file.retain(|f| f.package() == "livechat.v1");
    std::fs::write(out.join("livechat.fds"), public.encode_to_vec())?;
    tonic_prost_build::configure()
        .btree_map(".")
        // A chat is by far the largest part, and the most common one.
        .boxed(".meridian.log.v1.Entity.entity.chat")
        .compile_fds(descriptors)?;
    Ok(())
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    println!("cargo:rerun-if-changed={}", dir.display());
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
