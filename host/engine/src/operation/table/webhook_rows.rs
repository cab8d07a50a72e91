//! The rows about webhooks.

use super::{Category, Door, Operation, Permission, Reply, document, read, schema, webhooks};

pub(super) const CREATE: Operation = Operation {
    name: "webhooks.create",
    aliases: &[],
    door: Door::Tasks,
    category: Category::Crud,
    title: "Create a webhook",
    summary: "Subscribes a URL to events of the log.",
    description: "Events are sent in the order of the log, at least once, each as one signed request. Without a `secret` one \
        is made; this answer is the only one that shows it.",
    example: r#"{"url": "https://example.org/hooks/apflow", "kinds": ["tree.completed", "tree.failed"]}"#,
    params: schema::<webhooks::CreateParams>,
    result: schema::<webhooks::View>,
    permission: Permission::Admin,
    streams: false,
    call: gives_value!(webhooks::create),
};

pub(super) const GET: Operation = Operation {
    name: "webhooks.get",
    aliases: &[],
    door: Door::Tasks,
    category: Category::Monitoring,
    title: "Get a webhook",
    summary: "Reads a webhook and how its deliveries go.",
    description: "",
    example: r#"{"webhook_id": "orders"}"#,
    params: schema::<webhooks::WebhookRef>,
    result: schema::<webhooks::View>,
    permission: Permission::Read,
    streams: false,
    call: gives_value!(webhooks::get),
};

pub(super) const LIST: Operation = Operation {
    name: "webhooks.list",
    aliases: &[],
    door: Door::Tasks,
    category: Category::Monitoring,
    title: "List webhooks",
    summary: "Lists webhooks, the oldest first.",
    description: "",
    example: r#"{"limit": 20}"#,
    params: schema::<webhooks::WebhookListParams>,
    result: schema::<Vec<webhooks::View>>,
    permission: Permission::Read,
    streams: false,
    call: gives_value!(webhooks::list),
};

pub(super) const UPDATE: Operation = Operation {
    name: "webhooks.update",
    aliases: &[],
    door: Door::Tasks,
    category: Category::Crud,
    title: "Change a webhook",
    summary: "Changes a webhook; what is left out stays as it is.",
    description: "Failures of the past are forgotten: the next delivery is due at once.",
    example: r#"{"webhook_id": "orders", "enabled": true, "timeout_ms": 5000}"#,
    params: schema::<webhooks::UpdateParams>,
    result: schema::<webhooks::View>,
    permission: Permission::Admin,
    streams: false,
    call: gives_value!(webhooks::update),
};

pub(super) const DELETE: Operation = Operation {
    name: "webhooks.delete",
    aliases: &[],
    door: Door::Tasks,
    category: Category::Crud,
    title: "Delete a webhook",
    summary: "Deletes a webhook with its deliveries and dead letters.",
    description: "",
    example: r#"{"webhook_id": "orders"}"#,
    params: schema::<webhooks::WebhookRef>,
    result: schema::<webhooks::Deleted>,
    permission: Permission::Admin,
    streams: false,
    call: gives_value!(webhooks::delete),
};

pub(super) const DELIVERIES: Operation = Operation {
    name: "webhooks.deliveries",
    aliases: &[],
    door: Door::Tasks,
    category: Category::Monitoring,
    title: "List deliveries",
    summary: "Lists the newest deliveries of a webhook, the newest first.",
    description: "The last 100 are kept.",
    example: r#"{"webhook_id": "orders", "limit": 20}"#,
    params: schema::<webhooks::PageParams>,
    result: schema::<Vec<webhooks::DeliveryShape>>,
    permission: Permission::Read,
    streams: false,
    call: gives_value!(webhooks::deliveries),
};

pub(super) const DEAD_LETTERS: Operation = Operation {
    name: "webhooks.dead_letters",
    aliases: &[],
    door: Door::Tasks,
    category: Category::Monitoring,
    title: "List dead letters",
    summary: "Lists the messages of a webhook that were given up, by position.",
    description: "The newest 1000 are kept. They stay when retention removes their events.",
    example: r#"{"webhook_id": "orders"}"#,
    params: schema::<webhooks::PageParams>,
    result: schema::<Vec<webhooks::DeadLetterView>>,
    permission: Permission::Read,
    streams: false,
    call: gives_value!(webhooks::dead_letters),
};

pub(super) const REDELIVER: Operation = Operation {
    name: "webhooks.redeliver",
    aliases: &[],
    door: Door::Tasks,
    category: Category::Crud,
    title: "Redeliver dead letters",
    summary: "Sends one dead letter of a webhook once more, or all.",
    description: "What is delivered leaves the list; what fails stays in it.",
    example: r#"{"webhook_id": "orders", "seq": 17}"#,
    params: schema::<webhooks::RedeliverParams>,
    result: schema::<webhooks::Redelivered>,
    permission: Permission::Admin,
    streams: false,
    call: gives_value!(webhooks::redeliver),
};
