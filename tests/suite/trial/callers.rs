//! Callers: each goes on submitting trees, executing them, cancelling and asking again, whatever happens to the hosts, and
//! writes down what it was told. What it was not told may have happened or not; where it sent a key, it asks again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use apflow_core::id::{TaskId, TreeId};
use apflow_testkit::history::store::{Told, ToldTree};
use fastrand::Rng;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use super::client::{Client, Reply};
use super::shapes::{self, Shape};

/// Refusals that a host may give while something befalls it or its database, or because an earlier request of which no
/// answer came has been done.
const EXPECTED: [&str; 3] = ["store_unavailable", "shutting_down", "lease_lost"];

/// What the callers share.
#[derive(Debug)]
pub struct Shared {
    /// Where hosts are reached.
    pub posts: Vec<watch::Receiver<Option<String>>>,
    /// What callers do now.
    pub order: watch::Receiver<Order>,
    /// Counts answers, so that somebody can act right after one.
    pub answers: watch::Sender<u64>,
    /// How many callers rest.
    pub resting: watch::Sender<usize>,
    record: Mutex<Record>,
}

/// What callers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Go on.
    Work,
    /// Finish what is begun and begin nothing.
    Rest,
    /// Go home.
    End,
}

/// What happened so far.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// What callers were told.
    pub told: Told,
    /// Refusals that nothing explains.
    pub odd: Vec<String>,
    /// Requests, answers to them, and requests of whose outcome nobody was told.
    pub requests: u64,
    /// See `requests`.
    pub answers: u64,
    /// See `requests`.
    pub untold: u64,
    /// Refusals by their code.
    pub refused: BTreeMap<String, u64>,
}

impl Shared {
    /// Nothing has happened yet.
    pub fn new(posts: Vec<watch::Receiver<Option<String>>>, order: watch::Receiver<Order>) -> Arc<Self> {
        let (answers, resting) = (watch::Sender::new(0), watch::Sender::new(0));
        Arc::new(Self { posts, order, answers, resting, record: Mutex::default() })
    }

    /// What happened so far.
    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address of a host that is up, as soon as there is one.
    pub async fn url(&self, random: &mut Rng) -> String {
        let mut posts = self.posts.clone();
        loop {
            let (first, all) = (random.usize(0..posts.len()), posts.len());
            for i in 0..all {
                // Marked as seen, so that what comes after this look ends the wait.
                if let Some(url) = posts[(first + i) % all].borrow_and_update().clone() {
                    return url;
                }
            }
            let changes = posts.iter_mut().map(|post| Box::pin(post.changed()));
            let _ = futures::future::select_all(changes).await;
        }
    }
}

/// A tree that this caller knows of.
#[derive(Debug, Clone)]
struct Known {
    root: String,
    shape: Shape,
    key: Option<String>,
    /// The method that created it.
    method: &'static str,
}

/// One caller.
#[derive(Debug)]
pub struct Caller {
    number: usize,
    shared: Arc<Shared>,
    client: Client,
    random: Rng,
    known: Vec<Known>,
    made: u32,
}

impl Caller {
    /// A caller whose choices follow from `seed`.
    pub fn new(number: usize, shared: Arc<Shared>, seed: u64) -> Self {
        let random = Rng::with_seed(seed);
        Self { number, shared, client: Client::default(), random, known: Vec::new(), made: 0 }
    }

    /// Works until it is told to go home.
    pub async fn work(mut self) {
        let mut order = self.shared.order.clone();
        loop {
            let now = *order.borrow_and_update();
            match now {
                Order::End => return,
                Order::Rest => {
                    self.shared.resting.send_modify(|count| *count += 1);
                    let changed = order.changed().await;
                    self.shared.resting.send_modify(|count| *count -= 1);
                    if changed.is_err() {
                        return;
                    }
                }
                Order::Work => {
                    if let Err(error) = self.step().await {
                        let text = format!("caller {}: {error:#}", self.number);
                        self.shared.record().odd.push(text);
                    }
                    // The pace of a caller; without it a host would do nothing but take trees in.
                    sleep(Duration::from_millis(self.random.u64(0..15))).await;
                }
            }
        }
    }

    async fn step(&mut self) -> Result<()> {
        match self.random.u8(0..20) {
            0..11 => self.submit().await,
            11..14 => self.execute_again().await,
            14..17 => self.cancel().await,
            17..19 => self.ask_again().await,
            _ => self.conflict().await,
        }
    }

    /// Creates a tree, or creates and executes it in one step.
    async fn submit(&mut self) -> Result<()> {
        self.made += 1;
        let name = format!("c{}-{}", self.number, self.made);
        let mut shape = shapes::draw(&mut self.random, &name);
        let key = self.random.bool().then(|| format!("key-{name}"));
        if key.is_none() {
            // Named ids, so that what was not told can be found out.
            name_ids(&mut shape.tasks, &name);
        }
        let method = if self.random.u8(0..4) == 0 { "tasks.create" } else { "tasks.execute" };
        let known = Known { root: name, shape, key, method };
        self.send(known).await
    }

    /// Sends a creation until an answer came: a second time it may have been done already.
    async fn send(&mut self, mut known: Known) -> Result<()> {
        let wait = known.method == "tasks.execute" && self.random.u8(0..4) == 0;
        for attempt in 0.. {
            let mut params = json!({"tasks": known.shape.tasks});
            if known.method == "tasks.execute" {
                params["wait"] = wait.into();
            }
            if let Some(key) = &known.key {
                params["idempotency_key"] = key.as_str().into();
            }
            match self.call(known.method, params).await {
                Some(Reply::Done(answer)) => {
                    self.created(&mut known, &answer, wait)?;
                    self.known.push(known);
                    return Ok(());
                }
                Some(Reply::Refused { code, .. })
                    if code == "invalid_tree" && attempt > 0 && known.key.is_none() =>
                {
                    // The ids are taken: it was done the first time.
                    let root = known.root.clone();
                    self.acknowledge(&root, &root, &known.shape, None);
                    self.known.push(known);
                    return Ok(());
                }
                Some(Reply::Refused { code, .. }) if EXPECTED.contains(&code.as_str()) => {}
                Some(Reply::Refused { code, detail }) => {
                    bail!("{} was refused: {code}: {detail}", known.method)
                }
                None => {}
            }
            if *self.shared.order.borrow() == Order::End {
                return Ok(());
            }
        }
        Ok(())
    }

    fn created(&self, known: &mut Known, answer: &Value, waited: bool) -> Result<()> {
        let tree = match known.method {
            "tasks.execute" => answer["tree_id"].as_str(),
            _ => root_of(answer).and_then(|root| root["task_tree_id"].as_str()),
        };
        let root = match known.method {
            "tasks.execute" => answer["root_task_id"].as_str(),
            _ => root_of(answer).and_then(|root| root["id"].as_str()),
        };
        let (Some(tree), Some(root)) = (tree, root) else {
            bail!("{} was answered with {answer}", known.method)
        };
        known.root = root.to_owned();
        self.acknowledge(tree, root, &known.shape, known.key.as_deref());
        if known.method == "tasks.execute" {
            self.executed(tree, answer, waited);
        }
        Ok(())
    }

    fn acknowledge(&self, tree: &str, root: &str, shape: &Shape, key: Option<&str>) {
        let mut record = self.shared.record();
        let tree = TreeId::from(tree);
        let told = ToldTree { root: root.into(), size: shape.size };
        record.told.trees.insert(tree.clone(), told);
        if let Some(key) = key {
            record.told.keys.entry(key.to_owned()).or_default().insert(tree);
        }
    }

    fn executed(&self, tree: &str, answer: &Value, waited: bool) {
        let Some(execution) = answer["execution"].as_u64().and_then(|number| u32::try_from(number).ok())
        else {
            return;
        };
        let mut record = self.shared.record();
        let of = (TreeId::from(tree), execution);
        let status = answer["status"].as_str().unwrap_or_default();
        if waited && ["completed", "failed", "cancelled"].contains(&status) {
            record.told.ends.insert(of.clone(), status.to_owned());
        }
        record.told.executions.insert(of);
    }

    /// Executes a tree once more, rather one that has failed.
    async fn execute_again(&mut self) -> Result<()> {
        let failing: Vec<&Known> = self.known.iter().filter(|known| known.shape.fails_first).collect();
        let Some(known) = self.random.choice(failing).or(self.known.last()) else { return Ok(()) };
        let wait = self.random.bool();
        let params = json!({"task_id": known.root, "wait": wait});
        if let Some(Reply::Done(answer)) = self.call_or_explain("tasks.execute", params).await? {
            let tree = answer["tree_id"].as_str().unwrap_or_default().to_owned();
            self.executed(&tree, &answer, wait && answer["status"] != "already_running");
        }
        Ok(())
    }

    async fn cancel(&mut self) -> Result<()> {
        let newest = self.known.len().saturating_sub(5);
        let Some(known) = self.random.choice(&self.known[newest..]).cloned() else { return Ok(()) };
        let params = json!({"task_ids": [known.root], "cascade": self.random.bool()});
        let Some(Reply::Done(answer)) = self.call_or_explain("tasks.cancel", params).await? else {
            return Ok(());
        };
        for entry in answer.as_array().into_iter().flatten().filter(|entry| entry["status"] == "cancelled") {
            let task = entry["task_id"].as_str().unwrap_or(&known.root);
            self.shared.record().told.cancelled.insert(TaskId::from(task));
        }
        Ok(())
    }

    /// Sends a request with a key once more.
    async fn ask_again(&mut self) -> Result<()> {
        let keyed: Vec<&Known> = self.known.iter().filter(|known| known.key.is_some()).collect();
        let Some(known) = self.random.choice(keyed).cloned() else { return Ok(()) };
        self.send(known).await
    }

    /// Sends a key that was used, with other content.
    async fn conflict(&mut self) -> Result<()> {
        let keyed: Vec<&Known> = self.known.iter().filter(|known| known.key.is_some()).collect();
        let Some(known) = self.random.choice(keyed).cloned() else { return Ok(()) };
        let params = json!({"tasks": [{"name": "other"}], "idempotency_key": known.key});
        match self.call(known.method, params).await {
            Some(Reply::Refused { code, .. }) if code == "idempotency_conflict" => Ok(()),
            Some(Reply::Refused { code, .. }) if EXPECTED.contains(&code.as_str()) => Ok(()),
            Some(other) => bail!("key {:?} was taken for other content: {other:?}", known.key),
            None => Ok(()),
        }
    }

    async fn call_or_explain(&mut self, method: &str, params: Value) -> Result<Option<Reply>> {
        match self.call(method, params).await {
            Some(Reply::Refused { code, detail }) if !EXPECTED.contains(&code.as_str()) => {
                bail!("{method} was refused: {code}: {detail}")
            }
            other => Ok(other),
        }
    }

    /// One request; none if no answer came.
    async fn call(&mut self, method: &str, params: Value) -> Option<Reply> {
        let url = self.shared.url(&mut self.random).await;
        let reply = self.client.call(&url, method, params).await.ok();
        self.note(reply.as_ref());
        match &reply {
            Some(_) => self.shared.answers.send_modify(|count| *count += 1),
            // The host may take a while to go down.
            None => sleep(Duration::from_millis(10)).await,
        }
        reply
    }

    fn note(&self, reply: Option<&Reply>) {
        let mut record = self.shared.record();
        record.requests += 1;
        match reply {
            Some(Reply::Done(_)) => record.answers += 1,
            Some(Reply::Refused { code, .. }) => {
                record.answers += 1;
                *record.refused.entry(code.clone()).or_default() += 1;
            }
            None => record.untold += 1,
        }
    }
}

/// The root of an answer of `tasks.create`, with a key or without.
fn root_of(answer: &Value) -> Option<&Value> {
    let tasks = answer.get("tasks").unwrap_or(answer);
    tasks.as_array().map_or(Some(tasks), |list| list.first())
}

/// Gives every task an id that begins with the root's.
fn name_ids(tasks: &mut Value, root: &str) {
    for task in tasks.as_array_mut().into_iter().flatten() {
        let name = task["name"].as_str().unwrap_or_default();
        task["id"] = if name == root { root.into() } else { format!("{root}.{name}").into() };
    }
}
