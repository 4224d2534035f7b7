//! The three ways in, behind one type, so that a connection does not know which it came by.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate_names;
use super::tls::TlsInForce;
use super::websocket::WebSocket;

/// How a connection came in.
#[derive(Clone)]
pub(super) enum TransportKind {
    Tcp,
    Tls(Arc<TlsInForce>),
    WebSocket,
}

/// A connection's bytes.
pub(super) enum Transport {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    WebSocket(Box<WebSocket>),
}

impl Transport {
    /// Takes the handshake of its kind, if it has one.
    pub(super) async fn accept(
        tcp: TcpStream,
        kind: TransportKind,
        packet_bytes_max: usize,
    ) -> io::Result<Self> {
        Ok(match kind {
            TransportKind::Tcp => Transport::Tcp(tcp),
            TransportKind::Tls(tls) => {
                let acceptor = TlsAcceptor::from(tls.current());
                Transport::Tls(Box::new(acceptor.accept(tcp).await?))
            }
            TransportKind::WebSocket => {
                let accepted = WebSocket::accept(tcp, packet_bytes_max).await.map_err(io::Error::other)?;
                Transport::WebSocket(Box::new(accepted))
            }
        })
    }

    /// The names of the certificate that the client has shown and that was verified.
    pub(super) fn certificate_names(&self) -> Option<Vec<String>> {
        let Transport::Tls(stream) = self else { return None };
        stream.get_ref().1.peer_certificates()?.first().map(certificate_names::names)
    }
}

macro_rules! each {
    ($self:expr, $inner:ident => $call:expr) => {
        match $self.get_mut() {
            Transport::Tcp($inner) => $call,
            Transport::Tls($inner) => $call,
            Transport::WebSocket($inner) => $call,
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => Pin::new(inner).poll_read(cx, buf))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, inner => Pin::new(inner).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => Pin::new(inner).poll_shutdown(cx))
    }
}
