//! Visitors, who insist on being taken in, and a supervisor, who looks on.

use std::time::Duration;

use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;
use meridian_proto::livechat::v1::*;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::judge::Deed;
use crate::stage::{Person, Promises, Stage, Turn, answered, between};
use crate::world::{LANGUAGES, QUEUES};

/// How long a visitor goes on trying to be taken in.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lets visitors come, one after another, until the evening.
pub async fn come(stage: Stage, seed: u64, every: Duration) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut tasks = Vec::new();
    for number in 0.. {
        let pause = every.mul_f64(random.random_range(0.1..2.0));
        if stage.rests(pause, Turn::Evening).await {
            break;
        }
        let seed = random.random();
        tasks.push(tokio::spawn(visit(stage.clone(), number, seed)));
    }
    for task in tasks {
        let _ = task.await;
    }
}

/// One visitor: asks to be taken in, again and again under one request id, at whichever node answers, and sometimes at
/// two at once; some leave, some rate.
async fn visit(stage: Stage, number: u64, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let region = random.random_range(0..3);
    let me = Person { number, region };
    let request = format!("visit-{number}");
    let visitor = format!("v{}", number % 17);
    let ask = StartChatRequest {
        request_id: request.clone(),
        queue_id: QUEUES[usize::from(random.random_bool(0.2))].to_owned(),
        languages: vec![LANGUAGES[random.random_range(0..3)].to_owned()],
        visitor_id: visitor.clone(),
        priority: if random.random_bool(0.1) { 5 } else { 0 },
        vip: random.random_bool(0.1),
        ..Default::default()
    };
    let began = Instant::now();
    let asked = stage.ledger.asks();
    let mut sent = 0;
    let chat = loop {
        if began.elapsed() > PATIENCE {
            stage
                .trace
                .tell(format!("{request} gives up after {sent} tries"));
            stage.promises.lock().unknown += 1;
            return;
        }
        sent += 1;
        let node = stage.some_node(&mut random);
        let answer = if random.random_bool(0.1) {
            let other = stage.some_node(&mut random);
            let (one, two) = tokio::join!(
                start(&stage, me, node, ask.clone()),
                start(&stage, me, other, ask.clone())
            );
            for told in [&one, &two].into_iter().flatten() {
                let who = format!("visitor:{visitor}");
                stage.ledger.answers_with(&who, &request, &told.chat_id);
            }
            one.or(two)
        } else {
            start(&stage, me, node, ask.clone()).await
        };
        match answer {
            Ok(chat) => break chat,
            Err(status) if status.code() == Code::InvalidArgument => {
                let why = status.message();
                stage.trace.tell(format!("{request} refused: {why}"));
                return;
            }
            Err(_) => sleep(between(&mut random, 50, 1_000)).await,
        }
    };
    let (id, index) = (chat.chat_id, Some(chat.log_index));
    stage
        .trace
        .tell(format!("{request} is {id} after {sent} tries"));
    let who = format!("visitor:{visitor}");
    stage.ledger.answers(&who, &request, asked, true, index);
    stage.ledger.answers_with(&who, &request, &id);
    let chats = |promises: &mut Promises| promises.chats.insert(request.clone(), id.clone());
    chats(&mut stage.promises.lock());
    if random.random_bool(0.15) {
        stage
            .rests(between(&mut random, 100, 20_000), Turn::Evening)
            .await;
        let node = stage.some_node(&mut random);
        let mut client = VisitorServiceClient::new(stage.ways.channel(me, node));
        let told = leave(&stage, &mut client, &id).await;
        stage
            .trace
            .tell(format!("{request} leaves, told so: {told}"));
    }
}

/// The visitor of a chat leaves it; whether they were told so.
pub async fn leave(stage: &Stage, client: &mut VisitorServiceClient<Channel>, chat: &str) -> bool {
    let request = format!("leave-{chat}");
    let ask = LeaveChatRequest {
        request_id: request.clone(),
        chat_id: chat.to_owned(),
    };
    let who = format!("chat:{chat}");
    let asked = stage.ledger.acts(&who, &request, chat, Deed::Leave);
    let left = answered(client.leave_chat(ask)).await.is_ok();
    if left {
        stage.ledger.answers(&who, &request, asked, true, None);
    }
    left
}

async fn start(
    stage: &Stage,
    me: Person,
    node: u64,
    ask: StartChatRequest,
) -> Result<Chat, Status> {
    let mut client = VisitorServiceClient::new(stage.ways.channel(me, node));
    let started = answered(client.start_chat(ask)).await?;
    let chat = started.chat;
    chat.ok_or_else(|| Status::internal("no chat in the answer"))
}

/// One supervisor, who looks at one chat after another and must see all that anybody was told before.
pub async fn supervisor(stage: Stage, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let me = Person {
        number: 8_000_000,
        region: random.random_range(0..3),
    };
    while !stage
        .rests(between(&mut random, 200, 2_000), Turn::Over)
        .await
    {
        let Some(chat_id) = stage.some_chat(&mut random) else {
            continue;
        };
        let asked = stage.ledger.asks();
        let ask = GetChatRequest {
            consistency: Consistency::Linearizable.into(),
            chat_id: chat_id.clone(),
        };
        let node = stage.some_node(&mut random);
        let mut client = SupervisorServiceClient::new(stage.ways.channel(me, node));
        match answered(client.get_chat(ask)).await {
            Ok(told) => stage.ledger.reads(asked, told.log_index),
            Err(status) if status.code() == Code::NotFound => {
                let what = format!("3: node {node} knows nothing of {chat_id}, which was taken in");
                stage.ledger.breaks(what);
            }
            Err(_) => {}
        }
    }
}
