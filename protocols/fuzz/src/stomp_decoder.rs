//! The STOMP decoder: whatever the bytes, however they are cut.

use bytes::Bytes;
use protocols::stomp::encode::{Encoder, Escaping};
use protocols::stomp::frame::{Frame, Verb};
use protocols::stomp::parse::{Decoder, DecoderLimits};
use protocols::violation::Violation;

/// Decodes a stream whole, cut in some places, and cut everywhere, and checks that the outcome is
/// the same; then encodes the frames and checks that they are decoded to what they were.
///
/// *Shape.* The first byte of `data` chooses escaping (bits 0 and 1) and limits (bit 2), the second
/// the number of cuts (bits 0 to 3). For each cut there is a byte that says where, in 256ths of the
/// stream. The rest is the stream.
pub fn stomp_decoder(data: &[u8]) {
    let [settings, cuts, rest @ ..] = data else {
        return;
    };
    let escaping = match settings & 3 {
        0 => Escaping::None,
        1 => Escaping::V11,
        2 => Escaping::V12,
        _ => Escaping::Every,
    };
    let limits = if settings & 4 == 0 { GENEROUS } else { TIGHT };
    let (places, stream) = rest.split_at(rest.len().min(usize::from(cuts & 15)));

    let whole = decode([stream], limits, escaping);
    assert_eq!(decode(cut(stream, places), limits, escaping), whole, "cut in some places");
    assert_eq!(decode(stream.chunks(1), limits, escaping), whole, "cut everywhere");
    whole.0.iter().for_each(assert_round_trip);
}

const GENEROUS: DecoderLimits =
    DecoderLimits { frame_size: 64 << 10, header_count: 100, header_size: 4 << 10 };

const TIGHT: DecoderLimits = DecoderLimits { frame_size: 48, header_count: 2, header_size: 20 };

fn cut<'a>(stream: &'a [u8], places: &[u8]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> =
        places.iter().map(|place| usize::from(*place) * stream.len() / 256).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

fn decode<'a>(
    units: impl IntoIterator<Item = &'a [u8]>,
    limits: DecoderLimits,
    escaping: Escaping,
) -> (Vec<Frame>, Option<Violation>) {
    let mut decoder = Decoder::new(limits);
    decoder.set_escaping(escaping);
    let mut frames = Vec::new();
    for unit in units {
        decoder.push(Bytes::copy_from_slice(unit));
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(violation) => {
                    assert_eq!(decoder.next_frame(), Ok(None), "there is no frame after a fault");
                    return (frames, Some(violation));
                }
            }
        }
        assert!(decoder.buffered() <= limits.frame_size, "more than a frame is kept");
    }
    for frame in &frames {
        assert!(frame.headers.len() <= limits.header_count);
        assert!(frame.body.len() <= limits.frame_size);
    }
    (frames, None)
}

fn assert_round_trip(frame: &Frame) {
    let exempt = matches!(frame.verb, Verb::Connect | Verb::Stomp | Verb::Connected);
    let replaced =
        frame.headers.iter().any(|(name, value)| (name.to_owned() + value).contains('\0'));
    // Carriage returns around it are blanks on the wire, and characters once they are escaped.
    let length = frame.headers.get("content-length").unwrap_or_default();
    if exempt || replaced || length.contains('\r') {
        return; // what cannot be escaped does not come back
    }
    let mut encoder = Encoder::new(frame.verb, Escaping::V12, frame.body.len());
    for (name, value) in frame.headers.iter() {
        encoder.header(name, value);
    }
    let bytes = encoder.finish(&frame.body);
    let limits = DecoderLimits { frame_size: usize::MAX, ..GENEROUS };
    let limits = DecoderLimits { header_count: 101, header_size: usize::MAX, ..limits };
    let (again, violation) = decode([&bytes[..]], limits, Escaping::V12);
    assert_eq!(violation, None);
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].verb, frame.verb);
    assert_eq!(again[0].body, frame.body);
    assert!(frame.headers.iter().eq(again[0].headers.iter().take(frame.headers.len())));
}
