//! The end of a connection whose peer may still be sending.
//!
//! A socket that is closed with unread input in its buffer is reset, and a reset can destroy the
//! answer that is on its way to the peer. So the write side is closed first, and what still comes
//! is read and thrown away until the peer has closed as well. The caller bounds the time.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

/// Bytes thrown away at a time; they lie on the stack.
const DISCARD_SIZE: usize = 2 << 10;

/// Ends the connection; takes no longer than `within`.
pub(crate) async fn linger<S>(io: S, within: Duration)
where
    S: AsyncRead + AsyncWrite,
{
    let mut io = pin!(io);
    let end = async {
        if io.shutdown().await.is_ok() {
            std::future::poll_fn(|cx| poll_discard(io.as_mut(), cx)).await;
        }
    };
    // What has not ended by then is cut: the peer had its time.
    let _ = tokio::time::timeout(within, end).await;
}

/// Reads until the peer has ended its side, or the connection broke.
pub(super) fn poll_discard<S>(mut io: Pin<&mut S>, cx: &mut Context<'_>) -> Poll<()>
where
    S: AsyncRead,
{
    let mut space = [0; DISCARD_SIZE];
    loop {
        let mut buf = ReadBuf::new(&mut space);
        if ready!(io.as_mut().poll_read(cx, &mut buf)).is_err() || buf.filled().is_empty() {
            return Poll::Ready(());
        }
    }
}
