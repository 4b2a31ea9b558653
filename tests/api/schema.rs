//! Holds a value to a schema of the description. Knows the keywords that the description uses; one that it does not know
//! fails the test, so that none is passed over. `schemathesis` does the same with a library of its own.

use serde_json::Value;

/// What is wrong with `value`, with the place in it.
pub fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(document, schema, value, "$", &mut found);
    found
}

pub fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(path) => {
            let at = path.strip_prefix('#').unwrap_or_else(|| panic!("{path} is not in this document"));
            resolved(document, document.pointer(at).unwrap_or_else(|| panic!("{path} is nowhere")))
        }
        None => schema,
    }
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no such type: {other}"),
    }
}

fn check(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let schema = resolved(document, schema);
    let Some(keywords) = schema.as_object() else { panic!("{schema} is no schema") };
    for (keyword, wanted) in keywords {
        let is_good = match keyword.as_str() {
            "description" | "additionalProperties" | "default" => true,
            // Of what is sent, not of what is answered.
            "pattern" => true,
            "type" => match wanted {
                Value::String(kind) => is_of(value, kind),
                kinds => kinds.as_array().unwrap().iter().any(|kind| is_of(value, kind.as_str().unwrap())),
            },
            "enum" => wanted.as_array().unwrap().contains(value),
            "const" => wanted == value,
            "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= wanted.as_f64().unwrap()),
            "minLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 >= wanted.as_u64().unwrap()),
            "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 <= wanted.as_u64().unwrap()),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= wanted.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= wanted.as_u64().unwrap()),
            "format" => value.as_str().is_none_or(|text| match wanted.as_str().unwrap() {
                "date-time" => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
                "date" => text.parse::<chrono::NaiveDate>().is_ok(),
                other => panic!("no such format: {other}"),
            }),
            "required" => value.as_object().is_none_or(|object| {
                wanted.as_array().unwrap().iter().all(|name| object.contains_key(name.as_str().unwrap()))
            }),
            "properties" => {
                for (name, inner) in value.as_object().into_iter().flatten() {
                    match wanted.get(name) {
                        Some(schema) => check(document, schema, inner, &format!("{at}.{name}"), found),
                        None if schema["additionalProperties"] == false => {
                            found.push(format!("{at}.{name} is unknown"))
                        }
                        None => {}
                    }
                }
                true
            }
            "items" => {
                for (place, inner) in value.as_array().into_iter().flatten().enumerate() {
                    check(document, wanted, inner, &format!("{at}[{place}]"), found);
                }
                true
            }
            "oneOf" => wanted.as_array().unwrap().iter().filter(|s| faults(document, s, value).is_empty()).count() == 1,
            "anyOf" => wanted.as_array().unwrap().iter().any(|s| faults(document, s, value).is_empty()),
            other => panic!("the description uses a keyword that is not checked: {other}"),
        };
        if !is_good {
            found.push(format!("{at}: {value} is not as {keyword} {wanted} says"));
        }
    }
}

#[test]
fn what_does_not_fit_is_found() {
    let schema = serde_json::json!({
        "type": "object", "required": ["a"], "additionalProperties": false,
        "properties": {"a": {"type": ["integer", "null"], "minimum": 1}, "b": {"type": "array", "items": {"enum": ["x"]}}},
    });
    let faults = |value: Value| faults(&schema, &schema, &value).len();
    assert_eq!(faults(serde_json::json!({"a": 1, "b": ["x"]})), 0);
    assert_eq!(faults(serde_json::json!({"a": null})), 0);
    for wrong in [r#"{"a": 0}"#, r#"{"a": "1"}"#, "{}", r#"{"a": 1, "c": 2}"#, r#"{"a": 1, "b": ["y"]}"#, "[]"] {
        assert!(faults(serde_json::from_str(wrong).unwrap()) > 0, "{wrong}");
    }
}
