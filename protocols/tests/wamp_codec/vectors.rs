//! Messages whose bytes are known.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use protocols::text::Text;
use protocols::wamp::id::Id;
use protocols::wamp::message::*;
use protocols::wamp::payload::{Dictionary, Payload};
use protocols::wamp::serializer::Serializer;

use super::specification::{EXACT, READ, REFUSED, Vector};
use super::{LIMITS, decode, encode, oracle};

impl Vector {
    fn bytes(&self, serializer: Serializer) -> Vec<u8> {
        match serializer {
            Serializer::Json => self.json.as_bytes().to_vec(),
            Serializer::MsgPack => HEXLOWER.decode(self.msgpack.as_bytes()).unwrap(),
            Serializer::Cbor => HEXLOWER.decode(self.cbor.as_bytes()).unwrap(),
        }
    }
}

#[test]
fn the_messages_of_the_specification_are_read_alike_in_every_serializer() {
    for vector in EXACT.iter().chain(READ) {
        let json = decode(Serializer::Json, vector.json.as_bytes()).unwrap();
        for serializer in Serializer::ALL {
            let message = decode(serializer, &vector.bytes(serializer)).unwrap();
            assert_eq!(encode(&message, Serializer::Json), encode(&json, Serializer::Json));
        }
    }
}

#[test]
fn the_messages_of_the_specification_are_written_as_they_are() {
    for vector in EXACT {
        for from in Serializer::ALL {
            let message = decode(from, &vector.bytes(from)).unwrap();
            assert_eq!(encode(&message, from), vector.bytes(from), "{}", vector.json);
        }
    }
}

#[test]
fn messages_of_other_protocols_are_refused() {
    for vector in REFUSED {
        for serializer in Serializer::ALL {
            assert!(decode(serializer, &vector.bytes(serializer)).is_err(), "{}", vector.json);
        }
    }
}

/// A message of every type with every key that is known, as it is written in JSON.
const FULL: &[(MessageType, &str)] = &[
    (
        MessageType::Hello,
        r#"[1,"realm1",{"roles":{"caller":{},"callee":{"features":{"progressive_call_results":true,"call_canceling":true}}},"agent":"test-1.0","authmethods":["cryptosign","anonymous"],"authid":"joe","authrole":"user","authextra":{"pubkey":"ab01","nested":{"n":[1,null]}}}]"#,
    ),
    (
        MessageType::Welcome,
        r#"[2,9007199254740992,{"roles":{"broker":{},"dealer":{"features":{"shared_registration":true}}},"agent":"gateway","realm":"realm1","authid":"joe","authrole":"user","authmethod":"ticket","authprovider":"static","authextra":{}}]"#,
    ),
    (
        MessageType::Abort,
        r#"[3,{"message":"\"no\"\n\u0000"},"wamp.error.no_such_realm",[1],{"a":2}]"#,
    ),
    (MessageType::Challenge, r#"[4,"wampcra",{"challenge":"{\"nonce\":1}","iterations":1000}]"#),
    (MessageType::Authenticate, r#"[5,"c2lnbmF0dXJl",{"nonce":"xyz"}]"#),
    (MessageType::Goodbye, r#"[6,{"message":"bye"},"wamp.close.normal"]"#),
    (MessageType::Error, r#"[8,48,1,{"ppt_scheme":"x_a"},"com.app.error",["text"],{"code":-5}]"#),
    (
        MessageType::Publish,
        r#"[16,2,{"acknowledge":true,"exclude_me":false,"exclude":[1,2],"exclude_authid":["a"],"exclude_authrole":[],"eligible":[],"eligible_authid":["b","c"],"eligible_authrole":["d"],"disclose_me":true,"retain":true,"rkey":"k","ppt_scheme":"wamp","ppt_serializer":"cbor","ppt_cipher":"xsalsa20poly1305","ppt_keyid":"1"},"com.app.topic",["\u0000AAEC"]]"#,
    ),
    (MessageType::Published, "[17,2,4429313566]"),
    (
        MessageType::Subscribe,
        r#"[32,3,{"match":"wildcard","get_retained":true,"nkey":"n"},"com..topic"]"#,
    ),
    (MessageType::Subscribed, "[33,3,70]"),
    (MessageType::Unsubscribe, "[34,4,70]"),
    (MessageType::Unsubscribed, r#"[35,0,{"subscription":70,"reason":"wamp.error.x"}]"#),
    (
        MessageType::Event,
        r#"[36,70,4429313566,{"topic":"com.app.topic","publisher":5,"publisher_authid":"joe","publisher_authrole":"user","trustlevel":0,"retained":true,"ppt_keyid":"1"},[],{"é":1.5}]"#,
    ),
    (
        MessageType::Call,
        r#"[48,5,{"timeout":1000,"receive_progress":true,"progress":false,"disclose_me":true,"rkey":"k","runmode":"partition"},"com.app.add",[1,2,[3,{"x":null}]]]"#,
    ),
    (MessageType::Cancel, r#"[49,5,{"mode":"kill"}]"#),
    (MessageType::CallResult, r#"[50,5,{"progress":true},[3]]"#),
    (
        MessageType::Register,
        r#"[64,6,{"match":"prefix","invoke":"roundrobin","disclose_caller":true,"forward_timeout":true,"concurrency":3,"force_reregister":false},"com.app"]"#,
    ),
    (MessageType::Registered, "[65,6,80]"),
    (MessageType::Unregister, "[66,7,80]"),
    (MessageType::Unregistered, r#"[67,0,{"registration":80,"reason":"wamp.error.x"}]"#),
    (
        MessageType::Invocation,
        r#"[68,1,80,{"procedure":"com.app.add","caller":9,"caller_authid":"joe","caller_authrole":"user","receive_progress":true,"progress":true,"timeout":500,"trustlevel":1},[1,2]]"#,
    ),
    (MessageType::Interrupt, r#"[69,1,{"mode":"killnowait","reason":"wamp.error.canceled"}]"#),
    (MessageType::Yield, r#"[70,1,{"progress":true},[],{"total":3}]"#),
];

#[test]
fn every_key_of_every_message_is_read_and_written_in_every_serializer() {
    assert!(FULL.iter().map(|(message, _)| message).eq(MessageType::ALL));
    for (message_type, json) in FULL {
        let message = decode(Serializer::Json, json.as_bytes()).unwrap();
        assert_eq!(message.message_type(), *message_type);
        assert_eq!(String::from_utf8(encode(&message, Serializer::Json)).unwrap(), *json);
        for serializer in [Serializer::MsgPack, Serializer::Cbor] {
            let there = encode(&message, serializer);
            let back = decode(serializer, &there).unwrap();
            assert_eq!(encode(&back, serializer), there, "{json}");
            assert_eq!(String::from_utf8(encode(&back, Serializer::Json)).unwrap(), *json);
            if !json.contains("AAEC") {
                let tree = oracle::decode(serializer, &there);
                assert_eq!(tree, oracle::decode(Serializer::Json, json.as_bytes()));
            }
        }
    }
}

#[test]
fn a_call_has_what_its_options_say() {
    let json = br#"[48,5,{"timeout":1000,"receive_progress":true,"x":[{}]},"com.app.add",[1],{}]"#;
    let Message::Call(call) = decode(Serializer::Json, json).unwrap() else {
        panic!("a CALL is a CALL");
    };
    assert_eq!(call.request, Id::new(5).unwrap());
    assert_eq!(call.procedure, "com.app.add");
    let options =
        CallOptions { timeout: Some(1000), receive_progress: Some(true), ..Default::default() };
    assert_eq!(call.options, options);
    let args = Some(Bytes::from_static(b"[1]"));
    let kwargs = Some(Bytes::from_static(b"{}"));
    assert_eq!(call.payload, Payload { serializer: Serializer::Json, args, kwargs });
}

#[test]
fn payload_and_texts_are_slices_of_the_message() {
    let json = Bytes::from_static(br#"[48,5,{},"com.app.add", [1, 2] ]"#);
    let Message::Call(call) = Message::decode(Serializer::Json, &json, &LIMITS).unwrap() else {
        panic!("a CALL is a CALL");
    };
    let args = call.payload.args.unwrap();
    assert_eq!(&args[..], b"[1, 2]");
    assert_eq!(args.as_ptr(), json[24..].as_ptr());
    assert_eq!(call.procedure.as_ptr(), json[10..].as_ptr());
}

#[test]
fn what_a_router_sends_takes_one_allocation_of_about_its_size() {
    for (_, json) in FULL {
        for from in Serializer::ALL {
            let message = decode(Serializer::Json, json.as_bytes()).unwrap();
            let message = decode(from, &encode(&message, from)).unwrap();
            let bytes = message.encode(from, &LIMITS).unwrap();
            let room = bytes.try_into_mut().unwrap().capacity();
            assert!(room <= 2 * encode(&message, from).len() + 64, "{room} bytes for {json}");
        }
    }
}

#[test]
fn without_args_there_are_empty_ones_before_kwargs() {
    let payload = Payload {
        serializer: Serializer::Json,
        args: None,
        kwargs: Some(Bytes::from_static(br#"{"a":1}"#)),
    };
    let request = Id::MIN;
    let message = Message::from(Yield { request, options: YieldOptions::default(), payload });
    assert_eq!(encode(&message, Serializer::Json), br#"[70,1,{},[],{"a":1}]"#);
    assert_eq!(encode(&message, Serializer::MsgPack), b"\x95\x46\x01\x80\x90\x81\xa1a\x01");
}

#[test]
fn dictionaries_between_the_peers_are_read_by_key_and_written_in_any_serializer() {
    let json = br#"[5,"",{"a":1,"nonce":"x","flag":true,"a":2,"inner":{"b":"c"}}]"#;
    for serializer in Serializer::ALL {
        let message = decode(Serializer::Json, json).unwrap();
        let message = decode(serializer, &encode(&message, serializer)).unwrap();
        let Message::Authenticate(Authenticate { extra, .. }) = message else {
            panic!("AUTHENTICATE is AUTHENTICATE");
        };
        assert_eq!(extra.text("nonce"), Some(Text::from("x")));
        assert_eq!(extra.unsigned("a"), Some(2), "the last one counts");
        assert_eq!(
            (extra.bool("flag"), extra.bool("nonce"), extra.text("b")),
            (Some(true), None, None)
        );
        assert_eq!(extra.dictionary("inner").unwrap().text("b"), Some(Text::from("c")));
        let made = Dictionary::of_texts(serializer, [("challenge", "ab\"c"), ("b", "")]);
        assert_eq!(made.text("challenge"), Some(Text::from("ab\"c")));
        let json = made.transcoded(Serializer::Json, &LIMITS).unwrap();
        assert_eq!(&json.bytes()[..], br#"{"challenge":"ab\"c","b":""}"#);
        assert_eq!(Dictionary::empty(serializer).text("a"), None);
    }
}

#[test]
fn roles_are_those_that_are_known() {
    let json = br#"[1,"r",{"roles":{"caller":{"features":{"call_timeout":true,"x":true,
        "call_canceling":false,"progressive_call_results":1}},"callee":{"features":null,"y":1},"z":[]}}]"#;
    let Message::Hello(hello) = decode(Serializer::Json, json).unwrap() else {
        panic!("HELLO is HELLO");
    };
    let roles = hello.details.roles.unwrap();
    assert_eq!(roles.features(Role::Caller), Some(Features::of(&[Feature::CallTimeout])));
    assert_eq!(roles.features(Role::Callee), Some(Features::NONE));
    assert_eq!(roles.features(Role::Publisher), None);
    assert!(roles.has(Role::Caller, Feature::CallTimeout) && !roles.is_empty());
}

#[test]
fn private_options_are_kept_where_clients_ask_for_something() {
    for json in [
        r#"[16,1,{"retain":true,"_persistent":true,"_x":[{"y":1.5}]},"a"]"#,
        r#"[32,1,{"match":"prefix","_durable":"n","_x":1,"_x":2},"a"]"#,
        r#"[64,1,{"_idempotent":true},"a"]"#,
        r#"[48,1,{"timeout":1,"ppt_scheme":"x","_":{}},"a"]"#,
        r#"[70,1,{"_a":0},[1]]"#,
    ] {
        let message = decode(Serializer::Json, json.as_bytes()).unwrap();
        for serializer in Serializer::ALL {
            let there = encode(&message, serializer);
            let back = decode(serializer, &there).unwrap();
            assert_eq!(encode(&back, serializer), there);
            assert_eq!(String::from_utf8(encode(&back, Serializer::Json)).unwrap(), json);
            assert_eq!(back == message, serializer == Serializer::Json);
        }
    }
    let json = br#"[16,1,{"retain":true,"_p":true,"_d":{"n":3},"_t":"t","_u":null,"_t":"u"},"a"]"#;
    let Message::Publish(Publish { options, .. }) = decode(Serializer::Json, json).unwrap() else {
        panic!("a PUBLISH is a PUBLISH");
    };
    let private = options.private;
    assert_eq!((private.bool("_p"), private.text("_t")), (Some(true), Some(Text::from("u"))));
    assert_eq!(private.dictionary("_d").unwrap().unsigned("n"), Some(3));
    assert_eq!(
        (private.bool("retain"), private.unsigned("_u"), private.unsigned("_p")),
        Default::default()
    );
    assert_ne!(private, Private::NONE);
    assert_eq!(
        encode(
            &decode(Serializer::Json, br#"[70,1,{"_a":null,"b":1}]"#).unwrap(),
            Serializer::Json
        ),
        b"[70,1,{}]"
    );
    // Nobody asks for anything there.
    assert_eq!(
        encode(&decode(Serializer::Json, br#"[50,1,{"_a":1}]"#).unwrap(), Serializer::Json),
        b"[50,1,{}]"
    );
}

#[test]
fn a_feature_is_known_by_either_of_its_spellings() {
    let json = br#"[1,"r",{"roles":{"caller":{"features":{"call_cancelling":true}},"subscriber":
        {"features":{"shareded_subscriptions":true}}}}]"#;
    let message = decode(Serializer::Json, json).unwrap();
    let expected = br#"[1,"r",{"roles":{"subscriber":{"features":{"sharded_subscription":true}},"caller":{"features":{"call_canceling":true}}}}]"#;
    assert_eq!(encode(&message, Serializer::Json), expected);
}

/// As many as need the longer forms of a dictionary's length.
#[test]
fn a_role_may_have_all_features() {
    let roles = Roles::NONE.with(Role::Dealer, Features::of(Feature::ALL));
    let details = WelcomeDetails { roles: Some(roles), ..WelcomeDetails::default() };
    let welcome = Message::from(Welcome { session: Id::MIN, details });
    assert!(Feature::ALL.len() > 23, "where the forms of CBOR differ, too");
    for serializer in Serializer::ALL {
        let bytes = encode(&welcome, serializer);
        assert_eq!(decode(serializer, &bytes).as_ref(), Ok(&welcome));
        let tree = oracle::decode(serializer, &bytes);
        let features = tree[2]["roles"]["dealer"]["features"].as_object().unwrap();
        assert_eq!(features.len(), Feature::ALL.len());
        assert!(Feature::ALL.iter().all(|feature| features[feature.as_str()] == true));
    }
}

#[test]
fn an_option_of_sharding_is_a_text_or_an_integer_or_nothing() {
    for (json, expected) in [
        (r#"[16,1,{"rkey":7},"a"]"#, r#"[16,1,{"rkey":"7"},"a"]"#),
        (r#"[16,1,{"rkey":-7},"a"]"#, r#"[16,1,{"rkey":"-7"},"a"]"#),
        (r#"[16,1,{"rkey":[7]},"a"]"#, r#"[16,1,{},"a"]"#),
        (
            r#"[32,1,{"nkey":18446744073709551615},"a"]"#,
            r#"[32,1,{"nkey":"18446744073709551615"},"a"]"#,
        ),
        (r#"[32,1,{"nkey":true},"a"]"#, r#"[32,1,{},"a"]"#),
        (r#"[48,1,{"rkey":{},"runmode":1.5},"a"]"#, r#"[48,1,{},"a"]"#),
        (r#"[48,1,{"rkey":"k","runmode":3},"a"]"#, r#"[48,1,{"rkey":"k","runmode":"3"},"a"]"#),
    ] {
        let tree = oracle::decode(Serializer::Json, json.as_bytes());
        for serializer in Serializer::ALL {
            let message = decode(serializer, &oracle::encode(serializer, &tree)).unwrap();
            let json = encode(&message, Serializer::Json);
            assert_eq!(String::from_utf8(json).unwrap(), expected);
        }
    }
}

#[test]
fn an_option_of_another_router_is_kept_as_it_is() {
    let json = br#"[64,1,{"match":"regex","invoke":"jump_consistent_hash"},"a"]"#;
    let message = decode(Serializer::Json, json).unwrap();
    assert_eq!(encode(&message, Serializer::Json), json);
    let Message::Register(Register { options, .. }) = message else {
        panic!("REGISTER is REGISTER");
    };
    assert_eq!(options.match_policy, Some(Choice::Other(Text::from("regex"))));
}

/// cbor-x, and with it Wampy.js, has no integers beyond 2^32.
#[test]
fn an_integer_may_be_written_as_a_float() {
    let bytes = HEXLOWER.decode(b"83182206fb4338de76816d8001").unwrap();
    let message = decode(Serializer::Cbor, &bytes).unwrap();
    assert_eq!(encode(&message, Serializer::Json), b"[34,6,7000000000000001]");
    for (serializer, bytes) in [
        (Serializer::Json, &b"[34,1.0,1e3]"[..]),
        (Serializer::MsgPack, b"\x93\x22\xca\x3f\x80\0\0\xcb\x40\x8f\x40\0\0\0\0\0"),
        (Serializer::Cbor, b"\x83\x18\x22\xf9\x3c\0\xfa\x44\x7a\0\0"),
    ] {
        let message = decode(serializer, bytes).unwrap();
        assert_eq!(encode(&message, Serializer::Json), b"[34,1,1000]");
    }
    let json = br#"[16.0,1,{"exclude":[1.0,2],"eligible":[9007199254740992.0]},"a"]"#;
    let message = decode(Serializer::Json, json).unwrap();
    let expected = br#"[16,1,{"exclude":[1,2],"eligible":[9007199254740992]},"a"]"#;
    assert_eq!(encode(&message, Serializer::Json), expected);
    let message = decode(Serializer::Json, br#"[48,1,{"timeout":1000.0},"a"]"#).unwrap();
    assert_eq!(encode(&message, Serializer::Json), br#"[48,1,{"timeout":1000},"a"]"#);
}

/// So nexus writes what a client of it does not say.
#[test]
fn null_is_as_none_where_there_may_be_nothing() {
    for (with_null, without) in [
        (r#"[48,1,{},"a",null,{"a":1}]"#, r#"[48,1,{},"a",[],{"a":1}]"#),
        (r#"[48,1,{},"a",[1],null]"#, r#"[48,1,{},"a",[1]]"#),
        (r#"[48,1,null,"a",null,null]"#, r#"[48,1,{},"a"]"#),
        (r#"[5,"",null]"#, r#"[5,"",{}]"#),
        (r#"[4,"ticket",null]"#, r#"[4,"ticket",{}]"#),
        (r#"[1,"r",null]"#, r#"[1,"r",{}]"#),
        (r#"[6,null,"wamp.close.normal"]"#, r#"[6,{},"wamp.close.normal"]"#),
        (r#"[8,48,1,null,"wamp.error.x",null]"#, r#"[8,48,1,{},"wamp.error.x"]"#),
        ("[67,1,null]", "[67,1]"),
    ] {
        let tree = oracle::decode(Serializer::Json, with_null.as_bytes());
        for serializer in Serializer::ALL {
            let message = decode(serializer, &oracle::encode(serializer, &tree)).unwrap();
            let json = encode(&message, Serializer::Json);
            assert_eq!(String::from_utf8(json).unwrap(), without);
            assert_eq!(decode(serializer, &encode(&message, serializer)).unwrap(), message);
        }
    }
}

/// As msgpack5 writes it, a package for JavaScript.
#[test]
fn undefined_is_as_none_in_messagepack_too() {
    let undefined = b"\xd4\0\0";
    let options = [b"\x81\xa7timeout", &undefined[..]].concat();
    let call = [b"\x95\x30\x01", &options[..], b"\xa1a", undefined].concat();
    let message = decode(Serializer::MsgPack, &call).unwrap();
    assert_eq!(encode(&message, Serializer::Json), br#"[48,1,{},"a"]"#);
    // Another extension is not.
    let other = [&call[..3], b"\x81\xa7timeout\xd4\x01\0", b"\xa1a\x90"].concat();
    assert!(decode(Serializer::MsgPack, &other).is_err());
}

#[test]
fn of_two_equal_keys_the_last_counts_and_null_is_as_none() {
    let json = br#"[48,1,{"timeout":5,"timeout":7,"progress":true,"progress":null},"a"]"#;
    let Message::Call(Call { options, .. }) = decode(Serializer::Json, json).unwrap() else {
        panic!("a CALL is a CALL");
    };
    assert_eq!((options.timeout, options.progress), (Some(7), None));
}
