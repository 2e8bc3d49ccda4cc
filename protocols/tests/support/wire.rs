//! A reader and a writer of frames that share nothing with the codec: what they do not understand
//! they refuse. They unescape and escape nothing, so that tests see the bytes of the wire.

use protocols::session::{FrameKind, OutFrame};

/// A frame as it was on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WireFrame {
    pub(crate) verb: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) kind: FrameKind,
}

impl WireFrame {
    /// Reads a unit that holds one frame, and nothing else.
    pub(crate) fn read(unit: &OutFrame) -> Self {
        let bytes = &unit.bytes[..];
        let head_length = bytes.windows(2).position(|pair| pair == b"\n\n").expect("a blank line");
        let head = std::str::from_utf8(&bytes[..head_length]).expect("a UTF-8 head");
        let mut lines = head.split('\n');
        let verb = lines.next().expect("a verb").to_owned();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(':').expect("a colon"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let body = bytes[head_length + 2..].strip_suffix(b"\0\n").expect("NUL, line feed");
        let declared = headers.iter().find(|(name, _)| name == "content-length");
        let length = declared.map_or(0, |(_, value)| value.parse().expect("a length"));
        assert_eq!(body.len(), length, "content-length is there if there is a body");
        Self { verb, headers, body: body.to_vec(), kind: unit.kind }
    }

    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut of_name = self.headers.iter().filter(|(known, _)| known == name);
        of_name.next().map(|(_, value)| value.as_str())
    }
}

/// The bytes of a frame. A body is followed by NUL, without a `content-length`.
pub(crate) fn frame(verb: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{verb}\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}:{value}\n").as_bytes());
    }
    bytes.push(b'\n');
    bytes.extend_from_slice(body);
    bytes.push(0);
    bytes
}
