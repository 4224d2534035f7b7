//! MQTT inside the binary messages of a WebSocket, read and written as one stream of bytes [MQTT-6.0.0-2].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header::SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};

/// Bytes that one outgoing message holds at most.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// A WebSocket as a stream of bytes.
pub(super) struct WebSocket {
    stream: WebSocketStream<TcpStream>,
    /// What is not read yet of the last message.
    unread: Bytes,
}

impl WebSocket {
    /// Takes the handshake; the client must offer the subprotocol `mqtt` [MQTT-6.0.0-3].
    ///
    /// # Errors
    /// No WebSocket handshake, another subprotocol, or the connection ended.
    // The signature of the callback is the library's.
    #[allow(clippy::result_large_err)]
    pub(super) async fn accept(tcp: TcpStream, packet_bytes_max: usize) -> Result<Self, tungstenite::Error> {
        let choose = |request: &Request, mut response: Response| {
            let offered = request
                .headers()
                .get_all(SEC_WEBSOCKET_PROTOCOL)
                .iter()
                .filter_map(|value| value.to_str().ok());
            if offered.flat_map(|value| value.split(',')).any(|protocol| protocol.trim() == "mqtt") {
                response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("mqtt"));
                Ok(response)
            } else {
                let mut refusal = ErrorResponse::new(Some("the subprotocol must be mqtt".to_owned()));
                *refusal.status_mut() = StatusCode::BAD_REQUEST;
                Err(refusal)
            }
        };
        // A message may hold several packets, or a piece of one.
        let bytes_max = packet_bytes_max.saturating_add(MESSAGE_BYTES_MAX);
        let config = WebSocketConfig::default()
            .max_message_size(Some(bytes_max))
            .max_frame_size(Some(bytes_max))
            .max_write_buffer_size(4 * MESSAGE_BYTES_MAX)
            .write_buffer_size(MESSAGE_BYTES_MAX);
        let stream = tokio_tungstenite::accept_hdr_async_with_config(tcp, choose, Some(config)).await?;
        Ok(WebSocket { stream, unread: Bytes::new() })
    }
}

fn as_io(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

impl AsyncRead for WebSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.unread = bytes,
                Some(Ok(Message::Text(_))) => {
                    let why = "a WebSocket text frame [MQTT-6.0.0-1]";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
                }
                // The library answers pings itself, with the next read or write.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Err(tungstenite::Error::ConnectionClosed)) => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(as_io(error))),
            }
        }
        let len = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread[..len]);
        self.unread.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.stream).poll_ready(cx)).map_err(as_io)?;
        let len = bytes.len().min(MESSAGE_BYTES_MAX);
        let message = Message::Binary(Bytes::copy_from_slice(&bytes[..len]));
        Pin::new(&mut self.stream).start_send(message).map_err(as_io)?;
        Poll::Ready(Ok(len))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx).map_err(as_io)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx).map_err(as_io)
    }
}
