//! From inputs and params to the request that the host sends. Pure: nothing is sent here.

use std::collections::BTreeMap;
use std::time::Duration;

use apflow_sdk::http::Request;
use apflow_sdk::prelude::*;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use form_urlencoded::Serializer;

use crate::input::{Auth, Data, Input, Location, Parameter, Params, Scalar};

/// The request, complete but for redirects.
pub fn build(input: Input, params: Params) -> Result<Request, Failure> {
    if input.verify.or(params.verify) == Some(false) {
        return Err(verify_refused());
    }
    let mut headers = headers(params.headers, input.headers);
    let mut query = pairs(&input.params.unwrap_or_default());
    if let Some(auth) = input.auth.or(params.auth) {
        authorise(auth, &mut headers, &mut query);
    }
    let mut request = Request::new(input.method.as_str(), with_query(&input.url, &query));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    with_body(request.timeout(seconds(input.timeout)?), input.json, input.data)
}

fn verify_refused() -> Failure {
    let message = "verify is false, but certificates are always checked; leave `verify` out";
    Failure::bad_input("verify_refused", message, "/verify")
}

fn seconds(timeout: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(timeout).ok().filter(|time| !time.is_zero()).ok_or_else(|| {
        let message = format!("timeout is {timeout}; give a number of seconds above 0");
        Failure::bad_input("invalid_timeout", message, "/timeout")
    })
}

type Headers = BTreeMap<String, String>;

/// Lower-case names, so that the task's header replaces the default one however it is spelled.
fn headers(defaults: Option<BTreeMap<String, Scalar>>, own: Option<BTreeMap<String, Scalar>>) -> Headers {
    let both = defaults.into_iter().flatten().chain(own.into_iter().flatten());
    both.map(|(name, value)| (name.to_ascii_lowercase(), value.to_string())).collect()
}

fn authorise(auth: Auth, headers: &mut Headers, query: &mut Vec<(String, String)>) {
    match auth {
        // A header that the task spells out is meant.
        Auth::Bearer { token } => {
            headers.entry("authorization".to_owned()).or_insert_with(|| format!("Bearer {token}"));
        }
        Auth::Basic { username, password } => {
            let both = BASE64_STANDARD.encode(format!("{username}:{password}"));
            headers.insert("authorization".to_owned(), format!("Basic {both}"));
        }
        Auth::ApiKey { key, value, location: Location::Header } => {
            headers.insert(key.to_ascii_lowercase(), value);
        }
        Auth::ApiKey { key, value, location: Location::Query } => query.push((key, value)),
    }
}

fn pairs(parameters: &BTreeMap<String, Parameter>) -> Vec<(String, String)> {
    let each = |(name, parameter): (&String, &Parameter)| {
        parameter.values().iter().map(|value| (name.clone(), value.to_string())).collect::<Vec<_>>()
    };
    parameters.iter().flat_map(each).collect()
}

/// The URL with more query parameters, before its fragment.
fn with_query(url: &str, query: &[(String, String)]) -> String {
    if query.is_empty() {
        return url.to_owned();
    }
    let (address, fragment) = url.split_once('#').unwrap_or((url, ""));
    let encoded = Serializer::new(String::new()).extend_pairs(query).finish();
    let joint = match address.split_once('?') {
        None => "?",
        Some((_, before)) if before.is_empty() || before.ends_with('&') => "",
        Some(_) => "&",
    };
    let hash = if fragment.is_empty() { "" } else { "#" };
    format!("{address}{joint}{encoded}{hash}{fragment}")
}

fn with_body(request: Request, json: Option<Value>, data: Option<Data>) -> Result<Request, Failure> {
    match (json, data) {
        (None, None) => Ok(request),
        (Some(json), None) => request.json(&json),
        (None, Some(Data::Text(text))) => Ok(request.body(text)),
        (None, Some(Data::Form(form))) => {
            let body = Serializer::new(String::new()).extend_pairs(pairs(&form)).finish();
            let plain = !request.has_header("content-type");
            let request = request.body(body);
            Ok(if plain { request.header("content-type", FORM) } else { request })
        }
        (Some(_), Some(_)) => {
            let message = "both `json` and `data` are given; a request has one body, leave one of them out";
            Err(Failure::bad_input("two_bodies", message, "/data"))
        }
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

#[cfg(test)]
mod tests {
    use super::*;

    /// The request as text; `Debug` shows every part of it.
    fn built(input: Value, params: Value) -> String {
        let input = apflow_sdk::serde_json::from_value(input).unwrap();
        let params = apflow_sdk::serde_json::from_value(params).unwrap();
        format!("{:?}", build(input, params).unwrap())
    }

    #[test]
    fn query_parameters_join_those_of_the_url() {
        let pairs = [("q".to_owned(), "a b&c".to_owned()), ("n".to_owned(), "1".to_owned())];
        assert_eq!(with_query("http://h/p", &pairs), "http://h/p?q=a+b%26c&n=1");
        assert_eq!(with_query("http://h/p?x=1#top", &pairs[1..]), "http://h/p?x=1&n=1#top");
        assert_eq!(with_query("http://h/?", &pairs[1..]), "http://h/?n=1");
        assert_eq!(with_query("http://h/p#top", &[]), "http://h/p#top");
    }

    #[test]
    fn lists_repeat_their_parameter_and_null_leaves_it_out() {
        let text =
            built(json!({"url": "http://h/", "params": {"a": [1, true], "b": null, "c": "x"}}), json!({}));
        assert!(text.contains("http://h/?a=1&a=true&c=x"), "{text}");
    }

    #[test]
    fn the_tasks_headers_win_over_its_params_however_they_are_spelled() {
        let input = json!({"url": "http://h/", "headers": {"X-Key": "own"}});
        let text = built(input, json!({"headers": {"x-key": "default", "x-other": 1}}));
        assert!(text.contains(r#"("x-key", "own"), ("x-other", "1")"#), "{text}");
    }

    #[test]
    fn every_kind_of_auth_reaches_the_request() {
        let with = |auth: Value| built(json!({"url": "http://h/", "auth": auth}), json!({}));
        assert!(with(json!({"type": "bearer", "token": "t"})).contains(r#"("authorization", "Bearer t")"#));
        let basic = with(json!({"type": "basic", "username": "u", "password": "p:w"}));
        assert!(basic.contains(r#""Basic dTpwOnc=""#), "{basic}");
        let header = with(json!({"type": "apikey", "key": "X-Api", "value": "v"}));
        assert!(header.contains(r#"("x-api", "v")"#), "{header}");
        let query = with(json!({"type": "apikey", "key": "k", "value": "v w", "location": "query"}));
        assert!(query.contains("http://h/?k=v+w"), "{query}");
    }

    #[test]
    fn auth_and_verify_may_stand_in_the_params() {
        let text = built(json!({"url": "http://h/"}), json!({"auth": {"type": "bearer", "token": "t"}}));
        assert!(text.contains("Bearer t"), "{text}");
        let input = apflow_sdk::serde_json::from_value(json!({"url": "http://h/"})).unwrap();
        let params = apflow_sdk::serde_json::from_value(json!({"verify": false})).unwrap();
        assert_eq!(build(input, params).unwrap_err().code(), "verify_refused");
    }

    #[test]
    fn forms_bring_their_content_type_and_text_does_not() {
        let form = built(json!({"url": "http://h/", "method": "POST", "data": {"a": "b c"}}), json!({}));
        assert!(form.contains(FORM) && form.contains(&format!("{:?}", b"a=b+c".to_vec())), "{form}");
        let text = built(json!({"url": "http://h/", "method": "PUT", "data": "raw"}), json!({}));
        assert!(text.contains("headers: []") && text.contains("PUT"), "{text}");
    }
}
