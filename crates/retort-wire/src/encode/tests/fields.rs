//! Fields that protocols spell differently: usage of streams, log probabilities, seeds.

use super::*;

#[test]
fn usage_of_streams_is_asked_for_unless_told_anyway() {
    for (told, is_asked) in [
        (None, true),
        (Some(StreamUsage::Option), true),
        (Some(StreamUsage::Always), false),
        (Some(StreamUsage::Never), false),
    ] {
        for stream in [None, Some(false), Some(true)] {
            let case = Case {
                params: Params {
                    stream,
                    ..Params::default()
                },
                options: WireOptions {
                    stream_usage: told,
                    ..WireOptions::default()
                },
                ..Case::default()
            };
            let request = asked(WireProtocol::OpenaiChat, &case).unwrap();
            let expected = (stream == Some(true) && is_asked).then_some(true);
            let asked = body(&request)["stream_options"]["include_usage"].as_bool();
            assert_eq!(asked, expected, "{told:?} {stream:?}");
            assert_eq!(request.streamed, stream == Some(true));
        }
    }
}

#[test]
fn logprobs_in_the_words_of_each_protocol() {
    for (protocol, asked_for, expected) in [
        (BOTH[0], 0, json!([true, null])),
        (BOTH[0], 20, json!([true, 20])),
        (BOTH[1], 0, json!([0, null])),
        (BOTH[1], 5, json!([5, null])),
    ] {
        let params = Params {
            logprobs: Some(asked_for),
            ..Params::default()
        };
        let body = body(
            &asked(
                protocol,
                &Case {
                    params,
                    ..Case::default()
                },
            )
            .unwrap(),
        );
        assert_eq!(json!([body["logprobs"], body["top_logprobs"]]), expected);
    }
}

#[test]
fn a_seed_is_sent_exactly() {
    let params = Params {
        seed: Some(i64::MIN + 1),
        ..Params::default()
    };
    let request = asked(
        BOTH[0],
        &Case {
            params,
            ..Case::default()
        },
    )
    .unwrap();
    assert_eq!(body(&request)["seed"].as_i64(), Some(i64::MIN + 1));
}
