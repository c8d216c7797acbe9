//! Draws the console.

use std::time::Instant;

use coracle::Escaped;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Flex, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Borders, Cell, Clear, List, ListState, Paragraph, Row, Sparkline, Table, Wrap};

use super::field::Field;
use super::format::{byte_count, clock, display_width, truncate};
use super::model::{ConsoleModel, FieldId, Mode};
use super::picker::{Entry, Picker};
use super::server_state::{Client, ServerState, Stage};

/// The smallest terminal that has room for everything.
const MIN_WIDTH: u16 = 72;
const MIN_HEIGHT: u16 = 20;

const LABEL: Style = Style::new().fg(Color::Cyan);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const GOOD: Style = Style::new().fg(Color::Green);
const BAD: Style = Style::new().fg(Color::Red);
const WARNING: Style = Style::new().fg(Color::Yellow);
const GRAPH: Style = Style::new().fg(Color::Blue);

/// What does not change about the server.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// The server's name; may be empty.
    pub name: String,
    pub max_clients: usize,
    pub max_clients_per_address: Option<usize>,
}

/// Draws everything. `now` is the time of the state's last tick.
pub fn draw(frame: &mut Frame<'_>, info: &ServerInfo, model: &mut ConsoleModel, state: &ServerState, now: Instant) {
    let area = frame.area();
    if area.width < MIN_WIDTH || area.height < MIN_HEIGHT {
        return draw_too_small(frame, area);
    }
    let graph_height = if area.height >= 40 { 10 } else { 5 };
    let [title, fields, notice, rest, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    let [clients, sent, log] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(graph_height), Constraint::Fill(1)]).areas(rest);
    draw_title(frame, title, info, state);
    draw_fields(frame, fields, model);
    let style = if model.notice.is_error { BAD } else { GOOD };
    let text = truncate(&model.notice.text, usize::from(notice.width).saturating_sub(2));
    frame.render_widget(Line::styled(format!(" {text}"), style), notice);
    if let Mode::Pick(picker) = &model.mode {
        draw_picker(frame, rest, picker);
    } else {
        draw_clients(frame, clients, info, model, state);
        draw_traffic(frame, sent, state, now);
        draw_log(frame, log, state);
    }
    draw_keys(frame, keys, model, state);
}

/// The number of lines by which clients and directories are scrolled.
pub fn page_len(height: u16) -> usize {
    usize::from(height.saturating_sub(9) / 2).max(1)
}

fn draw_too_small(frame: &mut Frame<'_>, area: Rect) {
    let text = format!(
        "This terminal has {}x{}, and the console needs {MIN_WIDTH}x{MIN_HEIGHT}. Serving goes on; q ends it.",
        area.width, area.height
    );
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, info: &ServerInfo, state: &ServerState) {
    let name = format!(" coracle {}  {}", env!("CARGO_PKG_VERSION"), Escaped(&info.name));
    let (text, color) = match state.stage {
        Stage::Stopping => ("stopping: answers under way are finished".to_owned(), Color::Yellow),
        Stage::ClosingConnections => ("closing the remaining connections".to_owned(), Color::Red),
        Stage::Serving if state.listening.is_empty() => ("○ not listening".to_owned(), Color::Yellow),
        Stage::Serving => {
            let addresses: Vec<String> = state.listening.iter().map(ToString::to_string).collect();
            (format!("● listening on {}", addresses.join(", ")), Color::Green)
        }
    };
    let style = BOLD.bg(Color::DarkGray).fg(Color::White);
    frame.render_widget(Block::new().style(style), area);
    let room = usize::from(area.width).saturating_sub(display_width(&name) + 2);
    frame.render_widget(Line::from(name), area);
    let text = format!("{} ", truncate(&text, room));
    frame.render_widget(Line::from(Span::styled(text, Style::new().fg(color))).alignment(Alignment::Right), area);
}

fn draw_fields(frame: &mut Frame<'_>, area: Rect, model: &ConsoleModel) {
    let [first, second] = Layout::vertical([Constraint::Length(1); 2]).areas(area);
    let [address, port] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(20)]).areas(second);
    let folder = model.folder.to_string_lossy();
    for (area, edited, label, text) in [
        (first, FieldId::Folder, " Folder   ", folder.as_ref()),
        (address, FieldId::Address, " Address  ", if model.listen.host.is_empty() { "::" } else { &model.listen.host }),
        (port, FieldId::Port, " Port  ", &model.listen.port),
    ] {
        let label_width = u16::try_from(label.len()).unwrap_or(0);
        let [label_area, area] = Layout::horizontal([Constraint::Length(label_width), Constraint::Fill(1)]).areas(area);
        frame.render_widget(Line::styled(label, LABEL), label_area);
        match &model.mode {
            Mode::Edit(now_edited, field) if *now_edited == edited => draw_field(frame, area, field),
            _ => {
                let text = truncate(&Escaped(text).to_string(), usize::from(area.width).saturating_sub(1));
                frame.render_widget(Line::styled(text, BOLD), area);
            }
        }
    }
}

fn draw_field(frame: &mut Frame<'_>, area: Rect, field: &Field) {
    let area = Rect { width: area.width.saturating_sub(1), ..area };
    let (text, column) = field.visible(usize::from(area.width));
    frame.render_widget(Block::new().style(Style::new().add_modifier(Modifier::REVERSED)), area);
    frame.render_widget(Line::from(text), area);
    let x = area.x + u16::try_from(column).unwrap_or(0).min(area.width.saturating_sub(1));
    frame.set_cursor_position((x, area.y));
}

fn draw_clients(frame: &mut Frame<'_>, area: Rect, info: &ServerInfo, model: &mut ConsoleModel, state: &ServerState) {
    let waiting = if state.waiting > 0 { format!(", {} waiting", state.waiting) } else { String::new() };
    let share = info.max_clients_per_address.map_or_else(String::new, |share| format!(", at most {share} per address"));
    let title = format!(" Clients: {} of {}{waiting}{share} ", state.clients.len(), info.max_clients);
    let block = section(&title);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let page = usize::from(inner.height.saturating_sub(1));
    model.first_client = model.first_client.min(state.clients.len().saturating_sub(page));
    let shown: Vec<&Client> = state.clients.values().skip(model.first_client).take(page).collect();

    let peers: Vec<String> = shown.iter().map(|client| client.address.to_string()).collect();
    let widest = peers.iter().map(|peer| display_width(peer)).max().unwrap_or(0);
    let peer_width = widest.clamp(21, if area.width >= 100 { usize::from(area.width / 3) } else { 21 });
    let bar_width = if area.width >= 100 { 20 } else { 8 };
    let width = |columns: usize| Constraint::Length(u16::try_from(columns).unwrap_or(u16::MAX));
    let widths = [width(peer_width), width(10), Constraint::Fill(1), width(bar_width + 5), width(10)];
    let what_width = usize::from(area.width).saturating_sub(2 + peer_width + 10 + bar_width + 5 + 10 + 4);
    let rows = shown.iter().zip(peers).map(|(client, peer)| {
        let style = if client.answer.is_some() { Style::new() } else { DIM };
        let what = if client.request.is_empty() { "–" } else { &client.request };
        Row::new([
            Cell::from(truncate(&peer, peer_width)),
            Cell::from(truncate(&client.thread, 10)),
            Cell::from(truncate(what, what_width)).style(style),
            Cell::from(progress(client, bar_width)).style(style),
            Cell::from(Text::from(rate(client)).alignment(Alignment::Right)),
        ])
    });
    let header = Row::new([
        Cell::from("Peer"),
        Cell::from("Thread"),
        Cell::from("Fetches"),
        Cell::from("Progress"),
        Cell::from(Text::from("Rate").alignment(Alignment::Right)),
    ]);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    frame.render_widget(Table::new(rows, widths).header(header.style(LABEL)).column_spacing(1), inner);
}

/// The bar of the answer under way, or the number of answers of an idle client.
fn progress(client: &Client, bar_width: usize) -> Line<'static> {
    let Some(answer) = client.answer else {
        let plural = if client.answers == 1 { "" } else { "s" };
        return Line::from(format!("{} answer{plural}", client.answers));
    };
    let Some(progress) = answer.progress() else { return Line::from("") };
    let full = ((progress * bar_width as f64) as usize).min(bar_width);
    // All of it is 100 %, and nothing less.
    Line::from(vec![
        Span::styled("━".repeat(full), GOOD),
        Span::styled("─".repeat(bar_width - full), DIM),
        Span::raw(format!("{:>4}%", (progress * 100.0).floor() as u64)),
    ])
}

fn rate(client: &Client) -> String {
    if client.answer.is_none() && client.rate == 0 { String::new() } else { format!("{}/s", byte_count(client.rate)) }
}

fn draw_traffic(frame: &mut Frame<'_>, area: Rect, state: &ServerState, now: Instant) {
    let [left, right] = Layout::horizontal([Constraint::Length(32), Constraint::Fill(1)]).areas(area);
    let block = section(" Totals ");
    let inner = block.inner(left);
    frame.render_widget(block, left);
    let totals = &state.totals;
    let with = |count: u64, what: &str| if count == 0 { String::new() } else { format!(", {count} {what}") };
    let lines = [
        ("Sent     ", format!("{}, {}/s", byte_count(totals.body_len), byte_count(state.rate()))),
        ("Clients  ", format!("{}{}", totals.clients, with(totals.refused, "refused"))),
        ("Answers  ", format!("{}{}{}", totals.answers, with(totals.failures, "failed"), with(totals.texts, "texts"))),
        ("Up       ", clock(now.saturating_duration_since(state.started))),
    ];
    let lines: Vec<Line<'_>> = lines
        .into_iter()
        .map(|(label, text)| Line::from(vec![Span::raw(" "), Span::styled(label, LABEL), Span::raw(text)]))
        .collect();
    frame.render_widget(Paragraph::new(lines), inner);

    let width = usize::from(right.width.saturating_sub(1));
    let samples = state.samples.iter().skip(state.samples.len().saturating_sub(width));
    // Newest at the right, also while there are few.
    let blank = width.saturating_sub(state.samples.len());
    let samples: Vec<u64> = std::iter::repeat_n(0, blank).chain(samples.copied()).collect();
    let top = samples.iter().copied().max().unwrap_or(0);
    let title = format!(" Sent in each of {width} seconds, at most {} ", byte_count(top));
    let block = section(&title);
    let inner = Rect { width: u16::try_from(width).unwrap_or(0), ..block.inner(right) };
    frame.render_widget(block, right);
    frame.render_widget(Sparkline::default().data(samples).max(top.max(1)).style(GRAPH), inner);
}

fn draw_log(frame: &mut Frame<'_>, area: Rect, state: &ServerState) {
    let block = section(" Log ");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width).saturating_sub(2);
    let first = state.log_lines.len().saturating_sub(usize::from(inner.height));
    let lines: Vec<Line<'_>> = state
        .log_lines
        .iter()
        .skip(first)
        .map(|line| {
            let (time, rest) = line.split_once(' ').unwrap_or(("", line));
            // Of the date and the milliseconds nothing is seen here: 2026-01-31T12:34:56.789Z.
            let time = time.get(11..19).map_or_else(String::new, |clock| format!("{clock}Z "));
            let rest = truncate(rest, width.saturating_sub(time.len()));
            let style = if rest.starts_with("trouble") { BAD } else { Style::new() };
            Line::from(vec![Span::raw(" "), Span::styled(time, DIM), Span::styled(rest, style)])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), inner);
}

fn draw_keys(frame: &mut Frame<'_>, area: Rect, model: &ConsoleModel, state: &ServerState) {
    let listen = if state.listening.is_empty() { "listen" } else { "stop listening" };
    // Where there is room for some only, it is the first ones.
    let keys: &[(&str, &str)] = match model.mode {
        _ if state.stage != Stage::Serving => &[("Ctrl-C", "close the remaining connections")],
        Mode::Watch => &[
            ("s", listen),
            ("q", "quit"),
            ("f", "folder"),
            ("b", "browse"),
            ("a", "address"),
            ("p", "port"),
            ("↑↓", "clients"),
        ],
        Mode::Edit(..) => &[("Enter", "apply"), ("Tab", "apply, and edit the next"), ("Esc", "leave it as it was")],
        Mode::Pick(_) => {
            &[("Enter →", "open"), ("←", "up"), ("Space", "serve the marked one"), ("Esc", "leave it as it was")]
        }
    };
    let mut spans = Vec::new();
    for (key, meaning) in keys {
        spans.push(Span::raw(" "));
        spans.push(Span::styled(*key, Style::new().add_modifier(Modifier::REVERSED)));
        spans.push(Span::raw(format!(" {meaning} ")));
    }
    frame.render_widget(Line::from(spans), area);
}

fn draw_picker(frame: &mut Frame<'_>, area: Rect, picker: &Picker) {
    let path =
        truncate(&Escaped(&picker.directory.to_string_lossy()).to_string(), usize::from(area.width).saturating_sub(22));
    let [area] = Layout::horizontal([Constraint::Length(area.width.saturating_sub(2))]).flex(Flex::Center).areas(area);
    frame.render_widget(Clear, area);
    let block = Block::bordered().title(format!(" Folder to serve: {path} "));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width).saturating_sub(4);
    let rows = picker.entries.iter().map(|entry| match entry {
        Entry::Current => "this folder".to_owned(),
        Entry::Parent => "..".to_owned(),
        Entry::Child(name) => truncate(&Escaped(&name.to_string_lossy()).to_string(), width.saturating_sub(1)) + "/",
    });
    let list = List::new(rows).highlight_symbol("› ").highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut selected = ListState::default().with_selected(Some(picker.selected));
    frame.render_stateful_widget(list, inner, &mut selected);
    if let Some(error) = &picker.error {
        let y = inner.bottom().saturating_sub(1);
        let text = format!(" it cannot be read: {}", Escaped(error));
        frame.render_widget(Line::styled(text, BAD), Rect { y, height: 1, ..inner });
    }
}

fn section(title: &str) -> Block<'_> {
    Block::new()
        .borders(Borders::TOP)
        .border_style(DIM)
        .title(Span::styled(title, WARNING.remove_modifier(Modifier::DIM)))
}
