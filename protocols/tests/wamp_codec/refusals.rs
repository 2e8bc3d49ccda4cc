//! What is not a message, and the sentence that says why.

use protocols::wamp::message::{Message, MessageType};
use protocols::wamp::serializer::{Limits, Serializer};

use super::{decode, encode, oracle};

#[track_caller]
fn assert_refused(json: &str, sentence: &str) {
    let error = decode(Serializer::Json, json.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), sentence);
    // The same in the other serializers, for what is at fault is not how it is written.
    if let Ok(tree) = serde_json::from_str(json) {
        for serializer in [Serializer::MsgPack, Serializer::Cbor] {
            let error = decode(serializer, &oracle::encode(serializer, &tree)).unwrap_err();
            assert_eq!(error.to_string(), sentence, "{serializer}");
        }
    }
}

#[test]
fn a_fault_is_told_by_message_element_and_key() {
    assert_refused("7", "a message is a list, not the number 7");
    assert_refused("[]", "a message begins with the number of its type, but this list is empty");
    assert_refused("[7,1]", "a message begins with the number of its type, not with the number 7");
    assert_refused(
        "[1.5]",
        "a message begins with the number of its type, not with the number 1.5",
    );
    assert_refused("[48,1,{}]", "CALL ends before its element Procedure");
    assert_refused("[17,1]", "PUBLISHED ends before its element Publication");
    assert_refused("[17,1,2,3]", "PUBLISHED has at most 3 elements, but 4 came");
    assert_refused(r#"[48,1,{},"a",[],{},1,2,3]"#, "CALL has at most 6 elements, but 9 came");
    assert_refused(r#"[8,48,1,{},"a",[],{},1,2,3]"#, "ERROR has at most 7 elements, but 10 came");
    let id = "an ID, from 1 to 2^53";
    assert_refused(r#"[48,0,{},"a"]"#, &format!("CALL.Request must be {id}, not the number 0"));
    assert_refused(r#"[48,-1,{},"a"]"#, &format!("CALL.Request must be {id}, not the number -1"));
    assert_refused(
        r#"[48,9007199254740993,{},"a"]"#,
        &format!("CALL.Request must be {id}, not the number 9007199254740993"),
    );
    assert_refused(r#"[48,"1",{},"a"]"#, &format!("CALL.Request must be {id}, not the text \"1\""));
    for number in ["1.5", "0.0", "-1.0", "9007199254740994.0", "1e300"] {
        assert_refused(
            &format!("[48,{number},{{}},\"a\"]"),
            &format!("CALL.Request must be {id}, not the number {number}"),
        );
    }
    assert_refused(
        "[35,-1]",
        &format!("UNSUBSCRIBED.UNSUBSCRIBE.Request must be {id}, or 0, not the number -1"),
    );
    assert_refused(r#"[48,1,[],"a"]"#, "CALL.Options must be a dictionary, not a list");
    assert_refused("[48,1,{},null]", "CALL.Procedure must be text, not null");
    assert_refused(r#"[48,1,{},"a",1]"#, "CALL.Arguments must be a list, not the number 1");
    assert_refused(r#"[48,1,{},"a",{}]"#, "CALL.Arguments must be a list, not a dictionary");
    assert_refused(r#"[48,1,{},"a",[],[]]"#, "CALL.ArgumentsKw must be a dictionary, not a list");
    assert_refused(
        r#"[48,1,{"timeout":-1},"a"]"#,
        "CALL.Options.timeout must be an integer of at least 0, not the number -1",
    );
    assert_refused(
        r#"[16,1,{"acknowledge":1},"a"]"#,
        "PUBLISH.Options.acknowledge must be true or false, not the number 1",
    );
    assert_refused(
        r#"[16,1,{"exclude":[1,0]},"a"]"#,
        "PUBLISH.Options.exclude must be a list of at most 10,000 IDs, from 1 to 2^53, not a list",
    );
    assert_refused(
        r#"[1,"r",{"roles":{"caller":[]}}]"#,
        "HELLO.Details.roles must be a dictionary of roles, each a dictionary of features, not a dictionary",
    );
    assert_refused(
        r#"[8,17,1,{},"a"]"#,
        "ERROR.REQUEST.Type must be the type of a request, which ERROR can answer, not the number 17",
    );
}

#[test]
fn a_fault_of_the_format_is_told_by_its_place() {
    let error = decode(Serializer::Json, br#"[48,1,{},"a",[01]]"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this is not JSON: a comma or the end must come here, not the byte 0x31, at byte 15"
    );
    let error = decode(Serializer::MsgPack, b"\x91\xc1").unwrap_err();
    assert_eq!(
        error.to_string(),
        "this is not MessagePack: the marker of a value must come here, not the byte 0xc1, at byte 1"
    );
    let error = decode(Serializer::Cbor, b"\x9f\x30").unwrap_err();
    assert_eq!(error.to_string(), "this is not CBOR: it ends inside a value, at byte 2");
}

#[test]
fn half_of_a_surrogate_pair_is_passed_on_but_no_text_that_is_read() {
    let json = br#"[16,1,{"x":"\ud83d"},"a",["\ud83d"],{"\udc00":1}]"#;
    let message = decode(Serializer::Json, json).unwrap();
    let passed_on = br#"[16,1,{},"a",["\ud83d"],{"\udc00":1}]"#;
    assert_eq!(encode(&message, Serializer::Json), passed_on);
    let what = "a text with one half of a surrogate pair";
    for (json, expected) in [
        (r#"[48,1,{},"\ud83d"]"#, "CALL.Procedure must be text"),
        (r#"[48,1,{"ppt_keyid":"\ud83d"},"a"]"#, "CALL.Options.ppt_keyid must be text"),
        (r#"[48,1,{"\ud83d":1},"a"]"#, "CALL.Options must be a dictionary whose keys are texts"),
    ] {
        let error = decode(Serializer::Json, json.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), format!("{expected}, not {what}"));
    }
}

/// §Binary support in JSON.
#[test]
fn a_text_that_starts_with_nul_is_binary_data() {
    let what = "a text that starts with NUL";
    assert_refused(
        r#"[48,1,{},"\u0000AA=="]"#,
        &format!("CALL.Procedure must be text, not {what}"),
    );
    assert_refused(
        r#"[48,1,{"ppt_keyid":"\u0000"},"a"]"#,
        &format!("CALL.Options.ppt_keyid must be text, not {what}"),
    );
    assert_refused(
        r#"[48,1,{"timeout":"\u0000"},"a"]"#,
        &format!("CALL.Options.timeout must be an integer of at least 0, not {what}"),
    );
}

#[test]
fn keys_that_are_no_texts_are_a_fault_in_options_and_none_in_a_payload() {
    let error = decode(Serializer::MsgPack, b"\x94\x30\x01\x81\x01\x02\xa1a").unwrap_err();
    let expected = "CALL.Options must be a dictionary whose keys are texts, not the number 1";
    assert_eq!(error.to_string(), expected);
    assert!(decode(Serializer::MsgPack, b"\x96\x30\x01\x80\xa1a\x90\x81\x01\x02").is_ok());
}

#[test]
fn what_a_peer_sent_is_shown_cut_short() {
    let long = "x".repeat(1 << 20);
    let error = decode(Serializer::Json, format!("[48,\"{long}\"]").as_bytes()).unwrap_err();
    assert!(error.to_string().len() < 200);
}

#[test]
fn limits_are_kept_before_memory_is_taken() {
    let limits = Limits { depth: 8, values: 32, ..Limits::DEFAULT };
    let sentence = |serializer, bytes: Vec<u8>| {
        Message::decode(serializer, &bytes.into(), &limits).unwrap_err().to_string()
    };
    let deep =
        "this is more than is allowed here: lists and dictionaries may be nested 8 deep, at byte 8";
    assert_eq!(sentence(Serializer::Json, vec![b'['; 1 << 20]), deep);
    assert_eq!(sentence(Serializer::Cbor, vec![0x9f; 1 << 20]), deep);
    let cut = "this is not MessagePack: it ends inside a value, at byte";
    assert!(sentence(Serializer::MsgPack, vec![0xdd, 0xff, 0xff, 0xff, 0xff, 1]).starts_with(cut));
    let many = [&b"[48"[..], &b",1".repeat(64), b"]"].concat();
    assert_eq!(
        sentence(Serializer::Json, many),
        "this is more than is allowed here: there may be 32 values, at byte 66"
    );
}

#[test]
fn an_option_may_list_so_many_values() {
    for (key, value, expected) in [
        ("exclude", "1", "a list of at most 10,000 IDs, from 1 to 2^53"),
        ("eligible_authid", "\"\"", "a list of at most 10,000 texts"),
    ] {
        let publish = |count| {
            let list = vec![value; count].join(",");
            decode(Serializer::Json, format!(r#"[16,1,{{"{key}":[{list}]}},"a"]"#).as_bytes())
        };
        assert!(publish(10_000).is_ok());
        let error = publish(10_001).unwrap_err().to_string();
        assert_eq!(error, format!("PUBLISH.Options.{key} must be {expected}, not a list"));
    }
}

#[test]
fn handshakes_have_limits_of_their_own() {
    let hello = |count| {
        let mut bytes = b"\x93\x01\xa1r\x81\xabauthmethods\xdd".to_vec();
        bytes.extend(u32::to_be_bytes(count));
        bytes.extend(vec![0xa0; count as usize]);
        Message::decode(Serializer::MsgPack, &bytes.into(), &Limits::DEFAULT.before_welcome())
    };
    assert!(hello(990).is_ok() && hello(1_000).is_err());
    let tight = Limits { values: 10, ..Limits::DEFAULT }.before_welcome();
    assert_eq!(tight, Limits { values: 10, ..Limits::HANDSHAKE });
}

#[test]
fn every_type_needs_its_elements() {
    for message in MessageType::ALL {
        let error = decode(Serializer::Json, format!("[{}]", message.code()).as_bytes());
        assert!(error.unwrap_err().to_string().starts_with(&format!("{message} ends before")));
    }
}
