//! `apflow webhooks`: subscriptions of URLs to events. Flags become parameters of `webhooks.*`.

use serde_json::{Map, Value, json};

use super::errors::{Exit, Failure};
use super::output::{Output, field, short_time, table, text_of};
use super::target::{Need, TargetArgs};
use super::tasks::present;

/// Flags of `apflow webhooks`.
#[derive(Debug, clap::Args)]
pub struct WebhooksArgs {
    #[command(subcommand)]
    command: WebhooksCommand,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Subcommand)]
enum WebhooksCommand {
    /// Subscribe a URL to events
    Create(CreateArgs),
    /// Show a webhook and how its deliveries go
    Get(OneWebhook),
    /// List webhooks
    List(ListArgs),
    /// Change a webhook
    Update(UpdateArgs),
    /// Delete a webhook with its deliveries and dead letters
    Delete(OneWebhook),
    /// List the newest deliveries
    Deliveries(PageArgs),
    /// List the messages that were given up
    DeadLetters(PageArgs),
    /// Send a dead letter once more, or all
    Redeliver(RedeliverArgs),
}

#[derive(Debug, clap::Args)]
struct OneWebhook {
    /// Id of the webhook
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Debug, clap::Args)]
struct PageArgs {
    /// Id of the webhook
    #[arg(value_name = "ID")]
    id: String,
    /// At most so many
    #[arg(long, short, default_value_t = 100)]
    limit: u32,
    /// Skip so many
    #[arg(long, default_value_t = 0)]
    offset: u32,
}

#[derive(Debug, clap::Args)]
struct RedeliverArgs {
    /// Id of the webhook
    #[arg(value_name = "ID")]
    id: String,
    /// Only the dead letter at this position
    #[arg(long)]
    seq: Option<i64>,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Also webhooks of single executions
    #[arg(long)]
    executions: bool,
    /// At most so many
    #[arg(long, short, default_value_t = 100)]
    limit: u32,
    /// Skip so many
    #[arg(long, default_value_t = 0)]
    offset: u32,
}

/// What both making and changing take.
#[derive(Debug, clap::Args)]
struct Fields {
    /// A name for people
    #[arg(long)]
    name: Option<String>,
    /// Only these kinds of events, with commas between them; may be given several times
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    kinds: Vec<String>,
    /// Only of this tree
    #[arg(long)]
    tree: Option<String>,
    /// Only of trees of this owner
    #[arg(long, short)]
    user_id: Option<String>,
    /// Where the secret is: env:NAME or file:NAME; one is made if it is left out
    #[arg(long, value_name = "REFERENCE")]
    secret: Option<String>,
    /// A header to send along, `name: value`; may be given several times
    #[arg(long, value_name = "HEADER")]
    header: Vec<String>,
    /// POST or PUT
    #[arg(long)]
    method: Option<String>,
    /// How long the endpoint may take to answer, in milliseconds
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u32>,
    /// Deliveries of a message before it is given up
    #[arg(long, value_name = "N")]
    max_attempts: Option<u32>,
    /// Go on with the events after this position
    #[arg(long, value_name = "SEQ")]
    after: Option<i64>,
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// Where to send events
    #[arg(value_name = "URL")]
    url: String,
    /// Chosen id
    #[arg(long)]
    id: Option<String>,
    /// Deliver nothing yet
    #[arg(long)]
    disabled: bool,
    #[command(flatten)]
    fields: Fields,
}

#[derive(Debug, clap::Args)]
struct UpdateArgs {
    /// Id of the webhook
    #[arg(value_name = "ID")]
    id: String,
    /// Where to send events
    #[arg(long)]
    url: Option<String>,
    /// Deliver again
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Deliver no more
    #[arg(long)]
    disable: bool,
    #[command(flatten)]
    fields: Fields,
}

impl Fields {
    fn params(&self, more: Value) -> Result<Value, Failure> {
        let headers: Map<String, Value> =
            self.header.iter().map(|text| header(text)).collect::<Result<_, _>>()?;
        let mut params = json!({
            "name": self.name, "kinds": (!self.kinds.is_empty()).then_some(&self.kinds), "tree": self.tree,
            "user_id": self.user_id, "secret": self.secret, "method": self.method, "timeout_ms": self.timeout_ms,
            "headers": (!headers.is_empty()).then_some(headers), "after": self.after,
            "retry": self.max_attempts.map(|most| json!({ "max_attempts": most })),
        });
        if let (Some(params), Value::Object(more)) = (params.as_object_mut(), more) {
            params.extend(more);
        }
        Ok(present(params))
    }
}

fn header(text: &str) -> Result<(String, Value), Failure> {
    match text.split_once(':') {
        Some((name, value)) => Ok((name.trim().to_owned(), value.trim().into())),
        None => Err(Failure::usage("invalid_params", format!("--header '{text}': write `name: value`"))),
    }
}

impl WebhooksCommand {
    /// The operation and its parameters.
    fn request(&self) -> Result<(&'static str, Value), Failure> {
        let page =
            |args: &PageArgs| json!({ "webhook_id": args.id, "limit": args.limit, "offset": args.offset });
        Ok(match self {
            Self::Create(args) => {
                let more = json!({ "url": args.url, "webhook_id": args.id, "enabled": !args.disabled });
                ("webhooks.create", args.fields.params(more)?)
            }
            Self::Update(args) => {
                let enabled = (args.enable || args.disable).then_some(args.enable);
                let more = json!({ "webhook_id": args.id, "url": args.url, "enabled": enabled });
                ("webhooks.update", args.fields.params(more)?)
            }
            Self::Get(args) => ("webhooks.get", json!({ "webhook_id": args.id })),
            Self::Delete(args) => ("webhooks.delete", json!({ "webhook_id": args.id })),
            Self::List(args) => (
                "webhooks.list",
                json!({ "executions": args.executions, "limit": args.limit, "offset": args.offset }),
            ),
            Self::Deliveries(args) => ("webhooks.deliveries", page(args)),
            Self::DeadLetters(args) => ("webhooks.dead_letters", page(args)),
            Self::Redeliver(args) => {
                ("webhooks.redeliver", present(json!({ "webhook_id": args.id, "seq": args.seq })))
            }
        })
    }

    fn text(&self, answer: &Value) -> String {
        match self {
            Self::Create(_) => created(answer),
            Self::Get(_) | Self::Update(_) => details(answer),
            Self::List(_) => list(answer),
            Self::Delete(args) => format!("Deleted {}", args.id),
            Self::Deliveries(_) => rows(answer, &["seq", "attempt", "at", "duration_ms", "status", "error"]),
            Self::DeadLetters(_) => {
                rows(answer, &["seq", "kind", "at", "attempts", "status", "queued", "error"])
            }
            Self::Redeliver(_) => format!("{} dead letters are sent once more", field(answer, "queued")),
        }
    }
}

/// Runs a command.
pub async fn run(args: WebhooksArgs) -> Result<Exit, Failure> {
    let (method, params) = args.command.request()?;
    let target = args.target.open(Need::Database).await?;
    let answer = target.tasks(method, params).await;
    target.close().await;
    args.output.show(&answer?, |answer| args.command.text(answer));
    Ok(Exit::Success)
}

fn created(answer: &Value) -> String {
    let id = field(answer, "webhook_id");
    match answer["secret"]
        .as_str()
        .filter(|secret| secret.len() > "whsec_…".len() && secret.starts_with("whsec_"))
    {
        Some(secret) => format!("{id}\nSecret, shown this once: {secret}"),
        None => id,
    }
}

fn details(answer: &Value) -> String {
    let fields = answer.as_object().into_iter().flatten();
    let shown =
        fields.filter(|(_, value)| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()));
    shown.map(|(name, _)| format!("{name}: {}", field(answer, name))).collect::<Vec<_>>().join("\n")
}

fn list(answer: &Value) -> String {
    let hooks = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    if hooks.is_empty() {
        return "No webhooks".into();
    }
    let mut lines =
        table(&["id", "name", "url", "enabled", "lag", "delivered", "dead letters", "last success"]);
    for hook in hooks {
        let text = |name: &str| field(hook, name);
        let last = short_time(&text("last_success_at"));
        lines.add_row([
            text("webhook_id"),
            text("name"),
            text("url"),
            text("enabled"),
            text("lag"),
            text("delivered"),
            text("dead_letters"),
            last,
        ]);
    }
    text_of(&lines)
}

fn rows(answer: &Value, columns: &[&str]) -> String {
    let all = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    if all.is_empty() {
        return "None".into();
    }
    let mut lines = table(columns);
    for row in all {
        let cell = |name: &&str| if *name == "at" { short_time(&field(row, name)) } else { field(row, name) };
        lines.add_row(columns.iter().map(cell).collect::<Vec<_>>());
    }
    text_of(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_was_made_is_shown() {
        let made = json!({"webhook_id": "a", "secret": "whsec_AAAABBBBCCCC"});
        assert_eq!(created(&made), "a\nSecret, shown this once: whsec_AAAABBBBCCCC");
        assert_eq!(created(&json!({"webhook_id": "a", "secret": "whsec_…"})), "a");
        assert_eq!(created(&json!({"webhook_id": "a", "secret": "env:APFLOW_WEBHOOK_A"})), "a");
    }

    #[test]
    fn answers_are_tables() {
        assert_eq!(list(&json!([])), "No webhooks");
        let hook = json!({"webhook_id": "a", "name": null, "url": "https://x.test/", "enabled": true, "lag": 2,
            "delivered": 3, "dead_letters": 0, "last_success_at": null});
        assert!(
            list(&json!([hook])).contains("https://x.test/  true     2    3"),
            "{}",
            list(&json!([hook]))
        );
        assert_eq!(rows(&json!([]), &["seq"]), "None");
        assert_eq!(rows(&json!([{"seq": 3}]), &["seq"]), "SEQ\n3");
        assert_eq!(details(&json!({"b": null, "c": [], "d": 1})), "d: 1");
    }

    #[test]
    fn headers_have_names_and_values() {
        assert_eq!(header("X-A: b:c").unwrap(), ("X-A".into(), "b:c".into()));
        assert!(header("X-A").is_err());
    }
}
