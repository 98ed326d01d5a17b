//! What holds for any parameters.

use super::*;

fn holds_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(holds_null),
        Value::Object(fields) => fields.values().any(holds_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn params() -> impl Strategy<Value = Params> {
    let maybe = prop::option::of::<BoxedStrategy<f64>>;
    let further = prop_oneof![Just(Value::Null), any::<i32>().prop_map(Value::from)];
    (
        (
            maybe(any::<f64>().boxed()),
            maybe((0.0..1.0).boxed()),
            any::<Option<u32>>(),
        ),
        (
            any::<Option<u32>>(),
            any::<Option<i64>>(),
            any::<Option<bool>>(),
        ),
        prop::option::of(prop::collection::vec(".*", 0..3)),
        prop::collection::btree_map("[a-z]{3,9}", further, 0..4),
    )
        .prop_map(
            |((temperature, min_p, top_k), (max_tokens, seed, stream), stop, extra)| Params {
                temperature,
                min_p,
                top_k,
                max_tokens,
                seed,
                stream,
                stop,
                extra,
                ..Params::default()
            },
        )
}

proptest! {
    #[test]
    fn no_protocol_writes_null(
        protocol in prop::sample::select(WireProtocol::ALL.to_vec()),
        mut params in params(),
    ) {
        params.max_tokens = Some(9);
        params.extra.retain(|_, value| !value.is_null());
        let options = WireOptions {
            drop_params: unsupported(protocol).iter().map(|name| (*name).to_owned()).collect(),
            ..WireOptions::default()
        };
        if let Ok(request) = asked(protocol, &Case { options, ..with(params.clone()) }) {
            prop_assert!(!holds_null(&body(&request)));
            prop_assert_eq!(request.streamed, params.stream == Some(true));
        } else {
            prop_assert!(params.temperature.is_some_and(|t| !t.is_finite()));
        }
    }

    #[test]
    fn nothing_is_null_and_nothing_unasked(params in params()) {
        let case = Case { params: params.clone(), ..Case::default() };
        if let Ok(request) = asked(WireProtocol::OpenaiChat, &case) {
            let body = body(&request);
            prop_assert!(!holds_null(&body));
            let fields = body.as_object().unwrap();
            let asked_for = [
                ("temperature", params.temperature.is_some()),
                ("min_p", params.min_p.is_some()),
                ("top_k", params.top_k.is_some()),
                ("max_tokens", params.max_tokens.is_some()),
                ("seed", params.seed.is_some()),
            ];
            for (name, is_asked) in asked_for {
                prop_assert_eq!(fields.contains_key(name), is_asked, "{}", name);
            }
            let known = ["model", "messages", "stop", "stream", "stream_options"];
            for name in fields.keys() {
                let is_known = known.contains(&name.as_str())
                    || asked_for.iter().any(|(known, _)| known == name)
                    || params.extra.contains_key(name);
                prop_assert!(is_known, "{}", name);
            }
            // The parameters are the body without the prompt.
            let mut rest = fields.clone();
            rest.remove("messages");
            let told: Value = serde_json::from_str(&request.request_params).unwrap();
            prop_assert_eq!(told.as_object().unwrap().len(), rest.len());
        } else {
            prop_assert!(params.temperature.is_some_and(|t| !t.is_finite()));
        }
    }
}
