//! Every operation under odd input, after the description: never a 5xx, always a described status and a body that fits. Seeded:
//! `PULSEMX_SEED` repeats a run. The same kind of thing as schemathesis does (docs/API.md), in the gate.

use serde_json::{Map, Value, json};

use crate::schema::resolved;
use crate::site::{Asks, Site, description, token};

/// Requests of one run; several tokens share them, so that no limit of one is met.
const REQUESTS: usize = 1_200;

/// xorshift64*: small, and the same on every machine.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % most as u64).unwrap()
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

const TEXTS: &[&str] = &[
    "",
    "x",
    "status",
    "firma.example",
    "info@firma.example",
    "@",
    "*",
    "MX",
    "TXT",
    "10 mx.example.",
    "\u{0}",
    "\r\n",
    "💣",
    "ä\u{202e}",
    "../..",
    "'; DROP TABLE api_token; --",
    "<script>",
    "%00",
    "-1",
    "9999999999999999999999",
    "2026-01-01",
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00+14:00",
    "+275760-09-13T00:00:00Z",
    "-9999-01-01",
    "null",
    "0",
    "1",
    "00000000000000000000",
    "zzzzzzzzzzzzz",
    "0000000000000",
    "taaaaaaaaaaaa",
    "held",
    "delivered",
    "any",
];

fn value(schema: &Value, chance: &mut Chance, depth: usize) -> Value {
    let schema = resolved(description(), schema);
    if depth > 4 || chance.one_in(8) {
        return odd(chance);
    }
    if let Some(all) = schema["enum"].as_array() {
        return chance.pick(all).clone();
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => chance.pick(kinds).as_str().unwrap().to_owned(),
        kind => kind.as_str().unwrap_or("null").to_owned(),
    };
    match kind.as_str() {
        "object" => {
            let mut object = Map::new();
            for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
                if !chance.one_in(6) {
                    object.insert(name.clone(), value(inner, chance, depth + 1));
                }
            }
            if chance.one_in(10) {
                object.insert("surplus".to_owned(), odd(chance));
            }
            Value::Object(object)
        }
        "array" => (0..chance.below(4)).map(|_| value(&schema["items"], chance, depth + 1)).collect(),
        "integer" => json!(chance.pick(&[0i64, 1, 7, 60, 3_600, 86_400, -1, i64::MAX, i64::MIN])),
        "boolean" => json!(chance.one_in(2)),
        "string" => json!(text(chance)),
        _ => Value::Null,
    }
}

fn odd(chance: &mut Chance) -> Value {
    let long = "x".repeat(chance.below(3_000));
    chance
        .pick(&[json!(null), json!(-1), json!(1e300), json!([]), json!({}), json!([[[]]]), json!(long), json!(true)])
        .clone()
}

fn text(chance: &mut Chance) -> String {
    match chance.below(12) {
        0 => "x".repeat(chance.below(2_000)),
        1 => {
            (0..chance.below(40)).filter_map(|_| char::from_u32(u32::try_from(chance.below(0x3000)).unwrap())).collect()
        }
        _ => (*chance.pick(TEXTS)).to_owned(),
    }
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(
            |octet| if octet.is_ascii_alphanumeric() { char::from(octet).to_string() } else { format!("%{octet:02x}") },
        )
        .collect()
}

/// A path with its query, after the description.
fn address(template: &str, operation: &Value, known: &[String], chance: &mut Chance) -> String {
    let mut path = template.to_owned();
    let mut query = Vec::new();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let parameter = resolved(description(), parameter);
        let name = parameter["name"].as_str().unwrap();
        match parameter["in"].as_str().unwrap() {
            "path" => {
                let given = if chance.one_in(3) { text(chance) } else { chance.pick(known).clone() };
                let given = if given.is_empty() { "x".to_owned() } else { given };
                path = path.replace(&format!("{{{name}}}"), &encoded(&given));
            }
            "query" if chance.one_in(2) => {
                let given = match value(&parameter["schema"], chance, 0) {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                query.push(format!("{name}={}", encoded(&given)));
            }
            _ => {}
        }
    }
    if chance.one_in(20) {
        query.push(encoded(&text(chance)));
    }
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}

#[test]
fn no_input_brings_the_service_out_of_its_description() {
    let seed = std::env::var("PULSEMX_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_124);
    println!("PULSEMX_SEED={seed}");
    let mut chance = Chance(seed);
    let site = Site::open();
    site.server.command(&["zone", "add", "firma", "firma.example"]);
    let channel = site.server.command(&["alert", "add", "firma", "webhook:http://127.0.0.1:9/x"]);
    let mut known = vec!["firma.example".to_owned(), channel["id"].to_string()];
    known.extend((0..5).map(|n| site.hold(&n.to_string())));
    let tokens: Vec<String> = (0..20).map(|_| token(&site.server, "firma", crate::site::OPERATORS)).collect();
    known.extend(tokens.iter().take(3).map(|token| token.split('-').nth(1).unwrap().to_owned()));
    let operations: Vec<(String, String, Value)> = description()["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            let all = methods.as_object().unwrap().iter();
            all.map(move |(method, operation)| (method.to_ascii_uppercase(), path.clone(), operation.clone()))
        })
        // A stream has no end; a token that ends itself asks nothing more.
        .filter(|(_, path, _)| path != "/api/v1/events" && path != "/api/v1/token/rotate")
        .collect();
    let mut seen = std::collections::BTreeMap::<u16, usize>::new();
    for _ in 0..REQUESTS {
        let (method, template, operation) = chance.pick(&operations).clone();
        let path = address(&template, &operation, &known, &mut chance);
        let mut asks = Asks::with(chance.pick::<String>(&tokens));
        let contents = operation["requestBody"]["content"].as_object();
        if let Some((kind, media)) = contents.and_then(|all| all.iter().next()) {
            asks.body = match (chance.below(10), kind.as_str()) {
                (0, _) => text(&mut chance).into_bytes(),
                (1, _) => vec![0xff, 0xfe, 0x00, b'{'],
                (_, "text/plain") => format!("{}\n{}", text(&mut chance), text(&mut chance)).into_bytes(),
                _ => value(&media["schema"], &mut chance, 0).to_string().into_bytes(),
            };
            let kind = if chance.one_in(15) { "application/xml" } else { kind };
            asks = asks.header("Content-Type", kind);
        }
        if method == "POST" && chance.one_in(4) {
            let key: String = text(&mut chance).chars().filter(|c| !c.is_control() && c.is_ascii()).take(200).collect();
            asks = asks.header("Idempotency-Key", &key);
        }
        let answer = site.ask(&method, &path, asks);
        assert!(answer.status < 500, "{method} {path}: {answer:?}");
        *seen.entry(answer.status).or_default() += 1;
    }
    println!("{seen:?}");
    assert!([200, 400, 404, 422].iter().all(|status| seen.contains_key(status)), "nothing was reached: {seen:?}");
    assert!(site.server.is_balanced("firma"));
    assert_eq!(site.get("/api/v1/account", &site.admin).status, 200);
}
