//! The rows about single plugins: what they may do, and which version serves.

use super::Reply;
use super::{Category, Door, Operation, Permission, document, plugins, read, schema, shape, system};

pub(super) const POLICY: Operation = Operation {
    name: "plugins.policy",
    aliases: &[],
    door: Door::System,
    category: Category::System,
    title: "Get what a plugin may do",
    summary: "Shows what a plugin asks for, what it is allowed, what follows from both, and what is missing.",
    description: "",
    example: r#"{"name": "rest_executor"}"#,
    params: schema::<plugins::PluginRef>,
    result: schema::<shape::PluginGrants>,
    permission: Permission::Read,
    streams: false,
    call: gives_value!(plugins::policy),
};

pub(super) const GRANT: Operation = Operation {
    name: "plugins.grant",
    aliases: &[],
    door: Door::System,
    category: Category::System,
    title: "Allow a plugin more",
    summary: "Adds to what a plugin is allowed, at once and for later starts.",
    description: "Nothing is loaded anew: the next thing that the plugin asks for is decided by the new grants. Folders and \
        variables are shown to instances that begin after it.",
    example: r#"{"name": "rest_executor", "add": {"private_network": ["127.0.0.1:8080"]}}"#,
    params: schema::<plugins::GrantParams>,
    result: schema::<shape::PluginGrants>,
    permission: Permission::Admin,
    streams: false,
    call: gives_value!(plugins::grant),
};

pub(super) const REVOKE: Operation = Operation {
    name: "plugins.revoke",
    aliases: &[],
    door: Door::System,
    category: Category::System,
    title: "Allow a plugin less",
    summary: "Takes away from what a plugin is allowed, at once and for later starts.",
    description: "Calls that are running are refused it from their next request on; a call that holds a folder or variable \
        which is taken away is ended. `all` takes everything away, `reset` goes back to what the configuration says.",
    example: r#"{"name": "rest_executor", "remove": {"http": ["http://*"]}}"#,
    params: schema::<plugins::RevokeParams>,
    result: schema::<shape::PluginGrants>,
    permission: Permission::Admin,
    streams: false,
    call: gives_value!(plugins::revoke),
};

pub(super) const HISTORY: Operation = Operation {
    name: "plugins.history",
    aliases: &[],
    door: Door::System,
    category: Category::System,
    title: "List versions of a plugin",
    summary: "Lists the versions of a plugin that have served, the newest first, with their calls and failures.",
    description: "",
    example: r#"{"name": "rest_executor"}"#,
    params: schema::<plugins::PluginRef>,
    result: schema::<plugins::History>,
    permission: Permission::Read,
    streams: false,
    call: gives_value!(plugins::history),
};

pub(super) const ROLLBACK: Operation = Operation {
    name: "plugins.rollback",
    aliases: &[],
    door: Door::System,
    category: Category::System,
    title: "Roll a plugin back",
    summary: "Publishes a version of a plugin that has served before.",
    description: "It is pinned: it serves until `plugins.unpin`, or until other files are in the plugins folder.",
    example: r#"{"name": "rest_executor", "version": "0.1.0"}"#,
    params: schema::<plugins::RollbackParams>,
    result: schema::<shape::Plugin>,
    permission: Permission::Admin,
    streams: false,
    call: gives_value!(plugins::rollback),
};

pub(super) const UNPIN: Operation = Operation {
    name: "plugins.unpin",
    aliases: &[],
    door: Door::System,
    category: Category::System,
    title: "Unpin a plugin",
    summary: "Takes the files of a plugin again, whatever was rolled back or refused before.",
    description: "",
    example: r#"{"name": "rest_executor"}"#,
    params: schema::<plugins::PluginRef>,
    result: schema::<system::Reloaded>,
    permission: Permission::Admin,
    streams: false,
    call: gives_value!(plugins::unpin),
};
