//! Asking an operator whether a plugin may come in: what it asks for is shown, and on a terminal the answer is awaited;
//! elsewhere a flag must have given it.

use apflow_wasm::grants::Capabilities;

use super::super::errors::Failure;

/// Flags that answer in advance.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct ApprovalArgs {
    /// Approve what it asks for; what it is allowed stays as it is
    #[arg(long, short)]
    pub yes: bool,
    /// Approve what it asks for, and allow it
    #[arg(long)]
    pub grant: bool,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// It may come in.
    Approved,
    /// It may come in, and is allowed what it asks for.
    Granted,
}

/// Asks, unless there is nothing to ask or a flag has answered.
pub fn ask(title: &str, asks: &Capabilities, flags: ApprovalArgs) -> Result<Approval, Failure> {
    match flags {
        ApprovalArgs { grant: true, .. } => return Ok(Approval::Granted),
        ApprovalArgs { yes: true, .. } => return Ok(Approval::Approved),
        _ if asks.is_empty() => return Ok(Approval::Approved),
        ApprovalArgs { .. } => {}
    }
    let terminal = console::Term::stderr();
    let lines = lines(asks);
    if !terminal.is_term() || !console::user_attended() {
        let message = format!(
            "{title} asks for\n{lines}Give --yes to approve that, or --grant to approve and allow it; nothing was changed"
        );
        return Err(Failure::refused("approval_required", message));
    }
    let question = format!("{title} asks for\n{lines}Install it? [y]es · yes, and [g]rant all of it · [N]o");
    let answer = terminal.write_line(&question).and_then(|()| terminal.read_line()).unwrap_or_default();
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(Approval::Approved),
        "g" | "grant" => Ok(Approval::Granted),
        _ => Err(Failure::refused("not_approved", format!("{title} was not approved; nothing was changed"))),
    }
}

/// As in `plugin.toml`, one line for each kind.
pub fn lines(asks: &Capabilities) -> String {
    let table = toml::Table::try_from(asks).unwrap_or_default();
    table.iter().map(|(key, value)| format!("  {key} = {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_answers_in_advance() {
        let asks: Capabilities = toml::from_str("system = true\nenv = [\"LANG\"]").unwrap();
        let of = |yes, grant| ask("p 1", &asks, ApprovalArgs { yes, grant });
        assert_eq!(of(true, false).unwrap(), Approval::Approved);
        assert_eq!(of(false, true).unwrap(), Approval::Granted);
        assert_eq!(lines(&asks), "  env = [\"LANG\"]\n  system = true\n");
        let nothing = ask("p 1", &Capabilities::default(), ApprovalArgs::default());
        assert_eq!(nothing.unwrap(), Approval::Approved);
    }
}
