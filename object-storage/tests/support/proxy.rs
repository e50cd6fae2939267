//! What goes wrong between a client and its store.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The store gets it, and its answer arrives.
    None,
    /// The connection ends before the store gets anything.
    Reset,
    /// The connection ends when so many bytes of the request's body have been taken.
    CutRequest(usize),
    /// Nothing happens any more, and the connection stays.
    Stall,
    /// This is answered, and the store gets nothing.
    Answer(u16, &'static str),
    /// The store does it, and the answer is lost.
    LoseAnswer,
    /// The store does it, and only so many bytes of the answer's body arrive.
    CutAnswer(usize),
    /// The store does it, and its answer has another tag.
    WrongTag,
}

type Rule = Box<dyn FnMut(&str) -> Fault + Send>;

/// A proxy in front of a store, on a port of its own.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

struct State {
    rule: Rule,
    seen: Vec<String>,
}

impl Proxy {
    pub(crate) fn before(store: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State {
            rule: Box::new(|_| Fault::None),
            seen: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        // Ends with the process, as its connections do.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(stream, store, &shared));
            }
        });
        Self { port, state }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on, `rule` is asked with the first line of each request.
    pub(crate) fn rule(&self, rule: impl FnMut(&str) -> Fault + Send + 'static) {
        let mut state = self.state.lock().unwrap();
        state.rule = Box::new(rule);
        state.seen.clear();
    }

    /// The same, for the first request in which `what` occurs.
    pub(crate) fn once(&self, what: &'static str, fault: Fault) {
        let mut fault = Some(fault);
        self.rule(move |line| match line.contains(what) {
            true => fault.take().unwrap_or(Fault::None),
            false => Fault::None,
        });
    }

    /// The first lines of all requests since the rule, up to their signatures.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.state.lock().unwrap().seen.clone()
    }
}

fn serve(mut client: TcpStream, store: u16, state: &Mutex<State>) -> Option<()> {
    let (head, mut body) = head(&mut client).ok()?;
    let line = head.lines().next()?.to_owned();
    let fault = {
        let mut state = state.lock().unwrap();
        let parts = line.split('&').filter(|part| !part.starts_with("X-Amz-"));
        let short = parts.collect::<Vec<_>>().join("&");
        state.seen.push(short);
        (state.rule)(&line)
    };
    let length = length(&head).unwrap_or(0);
    let wanted = match fault {
        Fault::Reset => return None,
        Fault::Stall => loop {
            thread::park();
        },
        Fault::CutRequest(most) => length.min(most),
        _ => length,
    };
    let mut piece = vec![0; 1 << 16];
    while body.len() < wanted {
        match client.read(&mut piece).ok()? {
            0 => return None,
            count => body.extend_from_slice(&piece[..count]),
        }
    }
    match fault {
        Fault::CutRequest(_) => return None,
        Fault::Answer(status, xml) => {
            let length = xml.len();
            let answer = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{xml}"
            );
            client.write_all(answer.as_bytes()).ok()?;
            return client.shutdown(Shutdown::Write).ok();
        }
        _ => {}
    }
    let mut upstream = TcpStream::connect(("127.0.0.1", store)).ok()?;
    let kept = head
        .lines()
        .filter(|line| !line.to_lowercase().starts_with("connection:") && !line.is_empty());
    let kept: Vec<&str> = kept.collect();
    upstream
        .write_all(format!("{}\r\nConnection: close\r\n\r\n", kept.join("\r\n")).as_bytes())
        .ok()?;
    upstream.write_all(&body).ok()?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).ok()?;
    match fault {
        Fault::LoseAnswer => return None,
        Fault::CutAnswer(most) => {
            let body = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
            answer.truncate(body + most);
        }
        Fault::WrongTag => answer = retagged(&answer),
        _ => {}
    }
    client.write_all(&answer).ok()?;
    client.shutdown(Shutdown::Write).ok()
}

/// The head of a request, and what came with it of the body.
fn head(client: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), body));
        }
        match client.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
}

fn length(head: &str) -> Option<usize> {
    let line = head
        .lines()
        .find(|line| line.to_lowercase().starts_with("content-length:"))?;
    line.split(':').nth(1)?.trim().parse().ok()
}

fn retagged(answer: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(answer).into_owned();
    let tag = text
        .lines()
        .find(|line| line.to_lowercase().starts_with("etag:"));
    let wrong = "etag: \"00000000000000000000000000000000\"";
    tag.map_or_else(
        || answer.to_vec(),
        |tag| text.replace(tag, wrong).into_bytes(),
    )
}
