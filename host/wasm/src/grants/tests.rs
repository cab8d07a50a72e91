//! Tables over the decisions of `grants`: both sides must permit, and the refusal says which does not and what to write.

use super::*;

fn caps(toml: &str) -> Capabilities {
    toml::from_str(toml).unwrap()
}

fn grants(requested: &str, allowed: &str) -> Grants {
    Grants::new("weather", caps(requested), caps(allowed))
}

/// The same lines on both sides.
fn both(toml: &str) -> Grants {
    grants(toml, toml)
}

/// A plugin that asks for all there is.
fn everything() -> Capabilities {
    caps("http = [\"*\"]\nprivate_network = [\"*\"]\nprocess = [\"*\"]\nsystem = true")
}

fn http(grants: &Grants, method: &str, url: &str) -> Result<(), Denied> {
    grants.http(&method.parse().unwrap(), &Url::parse(url).unwrap())
}

fn args(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

fn process(grants: &Grants, program: &str, arguments: &[&str]) -> Result<(), Denied> {
    grants.process(program, &args(arguments), &[])
}

#[test]
fn http_rules_cover_scheme_host_port_and_method() {
    let table = [
        ("https://a.test", "GET", "https://a.test/x?y", true),
        ("https://a.test", "GET", "https://a.test:8443/", true),
        ("https://a.test", "GET", "http://a.test/", false),
        ("https://a.test:443", "GET", "https://a.test/", true),
        ("https://a.test:443", "GET", "https://a.test:8443/", false),
        ("a.test", "DELETE", "http://A.test./", true),
        ("*", "PATCH", "http://127.0.0.1:9/", true),
        ("*", "GET", "ftp://a.test/", false),
        ("http://*.a.test", "GET", "http://b.a.test/", true),
        ("http://*.a.test", "GET", "http://a.test/", false),
    ];
    for (rule, method, url, expected) in table {
        let grants = both(&format!("http = [\"{rule}\"]"));
        assert_eq!(http(&grants, method, url).is_ok(), expected, "{rule}: {method} {url}");
    }
    let grants = both("http = [{ pattern = \"*\", methods = [\"get\"] }]");
    assert!(http(&grants, "GET", "http://a.test/").is_ok());
    let denied = http(&grants, "POST", "http://a.test/").unwrap_err();
    assert!(denied.remedy.contains("{ methods = [\"POST\"], pattern = \"http://a.test\" }"), "{denied}");
}

#[test]
fn both_sides_must_permit_and_the_refusal_says_which_does_not() {
    let all = "http = [\"*\"]";
    let table = [("", "", Missing::Both), (all, "", Missing::Allowed), ("", all, Missing::Requested)];
    for (requested, allowed, missing) in table {
        let denied = http(&grants(requested, allowed), "GET", "https://a.test/secret?key=1").unwrap_err();
        assert_eq!((denied.missing, denied.code()), (missing, "http_denied"));
        let text = denied.to_string();
        assert!(text.contains("weather") && text.contains("GET https://a.test"), "{text}");
        assert!(!text.contains("secret") && !text.contains("key=1"), "{text}");
        assert_eq!(
            text.contains("plugin.toml under [requests] http = [\"https://a.test\"]"),
            missing != Missing::Allowed
        );
        assert_eq!(
            text.contains("apflow.toml under [plugins.weather.grants] http = [\"https://a.test\"]"),
            missing != Missing::Requested,
            "{text}"
        );
    }
}

#[test]
fn what_a_remedy_says_permits_it_and_keeps_the_rest() {
    let asked = caps("http = [\"*\"]\nprivate_network = [\"*\"]");
    let shipped = PluginPolicy::shipped()["rest_executor"].grants.clone();
    let grants = Grants::new("rest_executor", asked.clone(), shipped);
    let address = "127.0.0.1:8080".parse().unwrap();
    let denied = grants.address("127.0.0.1", address).unwrap_err();
    let (_, lines) = denied.remedy.split_once("[plugins.rest_executor.grants] ").unwrap();
    let mended = Grants::new("rest_executor", asked, caps(lines));
    assert_eq!(mended.address("127.0.0.1", address), Ok(()));
    assert_eq!(http(&mended, "GET", "http://127.0.0.1:8080/"), Ok(()));
    assert!(mended.address("127.0.0.1", "127.0.0.1:8081".parse().unwrap()).is_err());
}

#[test]
fn public_addresses_need_no_grant_and_others_need_one_from_both() {
    let public: SocketAddr = "1.1.1.1:443".parse().unwrap();
    let private: SocketAddr = "10.0.0.1:5432".parse().unwrap();
    assert_eq!(Grants::nothing("weather").address("one.test", public), Ok(()));
    let denied = Grants::nothing("weather").address("db.test", private).unwrap_err();
    assert_eq!(denied.code(), "http_prohibited_address");
    assert!(denied.to_string().contains("private/reserved address (private network)"), "{denied}");
    assert!(!denied.to_string().contains("10.0.0.1"), "{denied}");
    for (rule, expected) in [
        ("*", true),
        ("*:5432", true),
        ("*:5433", false),
        ("db.test", true),
        ("*.test:5432", true),
        ("other.test", false),
        ("10.0.0.0/8", true),
        ("10.0.0.1:5432", true),
        ("10.0.0.2", false),
        ("192.168.0.0/16", false),
    ] {
        let line = format!("private_network = [\"{rule}\"]");
        assert_eq!(both(&line).address("DB.test.", private).is_ok(), expected, "{rule}");
        assert!(grants(&line, "").address("db.test", private).is_err());
        assert!(grants("", &line).address("db.test", private).is_err());
    }
}

#[test]
fn ranges_hold_for_mapped_addresses_too() {
    let grants = both("private_network = [\"127.0.0.0/8\", \"[fd00::/8]:80\"]");
    assert_eq!(grants.address("::ffff:127.0.0.1", "[::ffff:127.0.0.1]:80".parse().unwrap()), Ok(()));
    assert_eq!(grants.address("[fd00::1]", "[fd00::1]:80".parse().unwrap()), Ok(()));
    assert!(grants.address("fd00::1", "[fd00::1]:81".parse().unwrap()).is_err());
    let denied = grants.address("::1", "[::1]:80".parse().unwrap()).unwrap_err();
    assert!(denied.remedy.contains("\"[::1]:80\""), "{denied}");
}

#[test]
fn policies_without_private_grants_are_one() {
    let none = Grants::nothing("a");
    let half = grants("private_network = [\"*\"]", "");
    assert_eq!(none.network(), half.network());
    assert_ne!(none.network(), both("private_network = [\"*\"]").network());
}

#[test]
fn programs_are_matched_by_exact_name_and_argument_patterns() {
    let rules = "process = [\"/usr/bin/env\", { program = \"git\", args = [\"log\", \"--format=*\"] }, \
                 { program = \"echo\", args = [\"-n\", \"**\"] }, { program = \"true\", args = [] }]";
    let table: &[(&str, &[&str], bool)] = &[
        ("git", &["log", "--format=%h"], true),
        ("git", &["log", "--format="], true),
        ("git", &["log"], false),
        ("git", &["log", "--format=%h", "x"], false),
        ("git", &["push", "--format=%h"], false),
        ("/usr/bin/git", &["log", "--format=%h"], false),
        ("echo", &["-n"], true),
        ("echo", &["-n", "a;", "id"], true),
        ("echo", &["a"], false),
        ("true", &[], true),
        ("true", &["x"], false),
        ("/usr/bin/env", &["anything"], true),
        ("env", &[], false),
        ("echo a; id", &[], false),
    ];
    for (program, arguments, expected) in table {
        assert_eq!(process(&both(rules), program, arguments).is_ok(), *expected, "{program} {arguments:?}");
    }
}

#[test]
fn any_program_still_needs_a_proper_name() {
    let grants = both("process = [\"*\"]");
    assert_eq!(process(&grants, "sh", &["-c", "id"]), Ok(()));
    for program in ["", "./run", "bin/run", "a b"] {
        let denied = process(&grants, program, &[]).unwrap_err();
        assert_eq!((denied.missing, denied.remedy.as_str()), (Missing::Never, ""), "{program}");
    }
}

#[test]
fn variables_for_a_program_are_granted_by_name() {
    let env = [("LD_PRELOAD".to_owned(), "x.so".to_owned())];
    let named = both("process = [{ program = \"git\", env = [\"LANG\"] }]");
    let denied = named.process("git", &[], &env).unwrap_err();
    assert!(denied.to_string().contains("LD_PRELOAD") && !denied.to_string().contains("x.so"), "{denied}");
    assert_eq!(named.process("git", &[], &[("LANG".into(), "C".into())]), Ok(()));
    assert_eq!(both("process = [\"*\"]").process("git", &[], &env), Ok(()));
}

#[test]
fn wildcards_stand_for_text_within_one_argument() {
    for (pattern, text, expected) in [
        ("*", "", true),
        ("*", "a b", true),
        ("a*", "ab", true),
        ("*b", "ab", true),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "acb", false),
        ("ab*b", "ab", false),
        ("a", "ab", false),
        ("", "a", false),
    ] {
        let rules = format!("process = [{{ program = \"p\", args = [\"{pattern}\"] }}]");
        assert_eq!(process(&both(&rules), "p", &[text]).is_ok(), expected, "{pattern} on {text}");
    }
}

#[test]
fn the_environment_holds_what_both_sides_list_and_the_host_has() {
    let grants = grants("env = [\"A\", \"B\", \"C\"]", "env = [\"B\", \"C\", \"D\"]");
    let env = grants.env(|name| (name != "C").then(|| format!("value of {name}")));
    assert_eq!(env, [("B".to_owned(), "value of B".to_owned())]);
}

#[test]
fn folders_are_joined_by_the_guests_path_with_the_lesser_mode() {
    let grants = grants(
        "fs = [{ guest = \"/in\", mode = \"rw\" }, { guest = \"/out\", mode = \"ro\" }, { guest = \"/etc\" }]",
        "fs = [{ guest = \"/in\", host = \"/srv/in\" }, { guest = \"/out\", host = \"/srv/out\", mode = \"rw\" }]",
    );
    let folders: Vec<_> = grants
        .folders()
        .into_iter()
        .map(|one| (one.host.display().to_string(), one.guest, one.mode))
        .collect();
    assert_eq!(
        folders,
        [
            ("/srv/in".to_owned(), "/in".to_owned(), Mode::ReadOnly),
            ("/srv/out".to_owned(), "/out".to_owned(), Mode::ReadOnly),
        ]
    );
}

#[test]
fn the_machines_figures_need_both_sides() {
    assert_eq!(both("system = true").system(), Ok(()));
    let denied = grants("system = true", "").system().unwrap_err();
    assert!(denied.remedy.ends_with("[plugins.weather.grants] system = true"), "{denied}");
}

#[test]
fn what_is_asked_and_not_allowed_is_listed() {
    let grants = grants(
        "http = [\"https://a.test\", \"https://b.test\"]\nenv = [\"A\", \"B\"]\nprivate_network = [\"10.1.0.0/16\", \"*\"]\n\
         fs = [{ guest = \"/in\" }, { guest = \"/out\", mode = \"rw\" }]\nprocess = [\"git\", \"*\"]\nsystem = true",
        "http = [\"*.test\", \"https://a.test\"]\nenv = [\"B\"]\nprivate_network = [\"10.0.0.0/8\"]\n\
         fs = [{ guest = \"/in\" }, { guest = \"/out\" }]\nprocess = [\"git\"]",
    );
    assert_eq!(
        grants.unmet(),
        caps(
            "env = [\"A\"]\nprivate_network = [\"*\"]\nfs = [{ guest = \"/out\", mode = \"rw\" }]\nprocess = [\"*\"]\n\
             system = true"
        )
    );
    assert!(both("http = [\"*\"]\nsystem = true").unmet().is_empty());
}

/// The operator's page.
const PAGE: &str = include_str!("../../../../docs/grants.md");

/// The contents of the page's blocks in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(fence.as_str()).skip(1).filter_map(|rest| Some(rest.split_once("\n```")?.0)).collect()
}

#[test]
fn the_pages_refusals_are_the_real_ones() {
    let allow = |plugin: &str, allowed: &str| Grants::new(plugin, everything(), caps(allowed));
    let weather = allow("weather", "");
    let rest = allow("rest_executor", "http = [\"https://*\", \"http://*\"]");
    let command = allow("command_executor", "process = [{ program = \"git\", args = [\"log\", \"**\"] }]");
    let url = "https://api.example.com/v1";
    let inner: SocketAddr = "10.0.0.1:5432".parse().unwrap();
    let refusals = [
        http(&weather, "GET", url).unwrap_err(),
        http(&grants("", "http = [\"*\"]"), "GET", url).unwrap_err(),
        rest.address("127.0.0.1", "127.0.0.1:8080".parse().unwrap()).unwrap_err(),
        Grants::nothing("weather")
            .address("db.internal", inner)
            .unwrap_err()
            .redirected_from("https://api.example.com"),
        process(&command, "git", &["push"]).unwrap_err(),
        weather.system().unwrap_err(),
    ];
    assert_eq!(refusals.each_ref().map(ToString::to_string).to_vec(), blocks("text"));
    for denied in refusals {
        assert!(PAGE.contains(&format!("\n`{}`\n", denied.code())), "{}", denied.code());
    }
}

#[test]
fn the_pages_tables_are_read_as_they_stand() {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        plugins: std::collections::BTreeMap<String, PluginPolicy>,
    }
    for block in blocks("toml") {
        let file: File = toml::from_str(block).unwrap();
        assert!(file.plugins.values().all(|policy| !policy.grants.is_empty()), "{block}");
    }
    for name in crate::http::FORBIDDEN {
        assert!(PAGE.contains(&format!("`{name}`")), "{name}");
    }
    for (plugin, policy) in PluginPolicy::shipped() {
        assert!(PAGE.contains(&format!("| `{plugin}` |")), "{plugin}");
        assert!(policy.grants.env.iter().all(|name| PAGE.contains(name.as_str())), "{plugin}");
    }
}
