//! Decoding frames: a grammar of nom parsers, and the incremental [`Decoder`] that drives them.
//!
//! Knows what a frame looks like and nothing about what it means: which verbs may come when, and
//! which headers they need, is the session's business.
//!
//! *Spec.* STOMP 1.2 §Augmented BNF, §Value Encoding, §Body, §Size Limits; 1.1 and 1.0 likewise.
//!
//! ```ebnf
//! stream       = { eol | frame } ;                     (* an eol between frames is a heart-beat *)
//! frame        = command line , { header line } , eol , body , NUL ;
//! command line = verb , eol ;
//! header line  = name , ":" , value , eol ;
//! name         = { octet - ( ":" | LF ) } ;
//! value        = { octet - LF } ;                      (* colons too: 1.0 has no escape for them *)
//! body         = length * octet                        (* if there is a content-length *)
//!              | { octet - NUL } ;                     (* if there is none *)
//! eol          = [ CR ] , LF ;
//!
//! escape       = "\" , ( "n" | "c" | "\" | "r" ) ;     (* in names and values; "\r" is of 1.2 *)
//! length       = { blank } , digit , { digit } , { blank } ;
//! ```
//!
//! # Deviations
//! All of them let clients through that RabbitMQ lets through.
//! - A carriage return before a line feed belongs to the line end in every version, not only 1.2.
//! - A lone carriage return, or a NUL, between frames is skipped.
//! - `\r` in a header is a carriage return in 1.1 as well. Any other undefined escape is fatal.
//! - `content-length` is honoured on every frame, also on one that should have no body.
//! - A name may be empty.
//! - The values of a frame are never trimmed, nor are those of STOMP 1.0, which leaves room for
//!   blanks around the colon: who reads a header of a 1.0 client trims it.
//!
//! # Which fault is found
//! A stream of bytes has the same outcome however it is cut into units: faults are found in the
//! order of the bytes that show them. Those that concern the head as a whole (its UTF-8, its
//! escapes) are found once the frame is complete.

mod decoder;
mod grammar;
mod head;
mod progress;

pub use decoder::{Decoder, DecoderLimits};
