//! A valid component that is no plugin: it exports neither executor nor hooks nor collector.
#![expect(missing_docs, reason = "generated from the world below")]

wit_bindgen::generate!({
    inline: "package tests:wrong; world greeter { export greet: func(name: string) -> string; }",
});

struct Greeter;

impl Guest for Greeter {
    fn greet(name: String) -> String {
        format!("Hello, {name}!")
    }
}

export!(Greeter);
