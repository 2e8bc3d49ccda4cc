//! Decoding frames: a nom grammar and an incremental [`Decoder`].
