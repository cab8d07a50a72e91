//! `rest_executor`: one HTTP request per task. The plugin builds the request (`request`) and reads the response; whether
//! the address may be reached, redirects, TLS and connections are the host's.

use apflow_sdk::http::Response;
use apflow_sdk::prelude::*;

mod input;
mod request;

use input::{Input, Params};

/// How many redirects are followed where they are followed.
const MAX_REDIRECTS: u32 = 10;

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// Whether the status is 2xx.
    success: bool,
    /// HTTP status.
    status_code: u16,
    /// Where the response came from, after redirects.
    url: String,
    /// Response headers by lower-case name; repeated ones are joined by `, `.
    headers: Map<String, Value>,
    /// The method of the request.
    method: input::Method,
    /// The body, where it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    json: Option<Value>,
    /// The body as text, where it is not JSON or the status is not 2xx.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

struct Rest;

impl Executor for Rest {
    const ID: &'static str = "rest_executor";
    const NAME: &'static str = "REST call";
    const DESCRIPTION: &'static str = "Sends one HTTP request and returns status, headers and body. A status other than 2xx \
        is a result with `success: false`, not a failed task. Needs the `http` grant; private and reserved \
        addresses are refused unless the operator allows them.";
    const TAGS: &'static [&'static str] = &["http", "rest", "api", "webhook"];
    const CANCELABLE: bool = true;
    type Input = Input;
    type Output = Output;

    fn execute(input: Input, ctx: &Context) -> Result<Output, Failure> {
        let params: Params = ctx.params()?;
        let method = input.method;
        let redirects = if params.follow_redirects { MAX_REDIRECTS } else { 0 };
        let response = request::build(input, params)?.max_redirects(redirects).send()?;
        Ok(read(&response, method))
    }

    fn examples() -> Vec<Value> {
        vec![
            json!({"url": "https://api.example.org/items", "params": {"page": 2}}),
            json!({"url": "https://api.example.org/items", "method": "POST", "json": {"name": "first"},
                   "auth": {"type": "bearer", "token": "…"}}),
        ]
    }

    fn demo_result() -> Option<Output> {
        Some(Output {
            success: true,
            status_code: 200,
            url: "https://api.example.org/demo".to_owned(),
            headers: Map::from_iter([("content-type".to_owned(), json!("application/json"))]),
            method: input::Method::Get,
            json: Some(json!({"status": "success", "data": {"id": "demo-123", "value": 42}})),
            text: None,
        })
    }
}

apflow_sdk::export_executors!(Rest);

fn read(response: &Response, method: input::Method) -> Output {
    let success = response.head.is_success();
    let json = apflow_sdk::serde_json::from_slice(&response.body).ok();
    let text = (json.is_none() || !success).then(|| response.text());
    Output {
        success,
        status_code: response.head.status,
        url: response.head.url.clone(),
        headers: joined(&response.head.headers),
        method,
        json,
        text,
    }
}

fn joined(headers: &[(String, String)]) -> Map<String, Value> {
    let mut joined = Map::new();
    for (name, value) in headers {
        let value = match joined.get(name).and_then(Value::as_str) {
            Some(before) => format!("{before}, {value}"),
            None => value.clone(),
        };
        joined.insert(name.clone(), value.into());
    }
    joined
}

#[cfg(test)]
mod tests {
    use apflow_sdk::http::Head;
    use apflow_sdk::testing::call;

    use super::*;

    fn answer(status: u16, body: &str) -> Value {
        let headers = [("vary", "a"), ("x", "1"), ("vary", "b")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let head = Head { status, url: "http://h/".to_owned(), headers };
        let output = read(&Response { head, body: body.as_bytes().to_vec() }, input::Method::Get);
        apflow_sdk::serde_json::to_value(output).unwrap()
    }

    #[test]
    fn json_bodies_are_json_and_others_text() {
        let expected = json!({"success": true, "status_code": 200, "url": "http://h/", "method": "GET",
                              "headers": {"vary": "a, b", "x": "1"}, "json": [1]});
        assert_eq!(answer(200, "[1]"), expected);
        assert_eq!(answer(200, "<p>")["text"], "<p>");
        assert_eq!(answer(204, "")["text"], "");
    }

    #[test]
    fn a_status_other_than_2xx_is_a_result_without_success_and_with_its_text() {
        let refused = answer(404, r#"{"why": "gone"}"#);
        assert_eq!(refused["success"], false);
        assert_eq!(refused["text"], r#"{"why": "gone"}"#);
        assert_eq!(refused["json"]["why"], "gone");
    }

    #[test]
    fn inputs_are_checked_before_the_host_is_asked() {
        for (inputs, code) in [
            (json!({}), "invalid_input"),
            (json!({"url": "http://h/", "method": "TRACE"}), "invalid_input"),
            (json!({"url": "http://h/", "verify": false}), "verify_refused"),
            (json!({"url": "http://h/", "timeout": 0}), "invalid_timeout"),
            (json!({"url": "http://h/", "json": 1, "data": "x"}), "two_bodies"),
            (json!({"url": "http://h/"}), "no_host"),
        ] {
            assert_eq!(call::<Rest>(inputs.clone()).unwrap_err().code(), code, "{inputs}");
        }
    }
}
