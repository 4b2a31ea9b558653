//! Serves the page, and counts what happens to lines.

use std::net::TcpListener;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::{FiguresSource, Watched, page};
use crate::liveness::Lines;

/// As the text format's specification wants it (OpenMetrics 1.0).
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Questions that are worked on at one time; the others are sent away.
const QUESTIONS_MAX: usize = 4;

struct Room {
    source: Arc<dyn FiguresSource>,
    watched: Arc<Watched>,
    places: tokio::sync::Semaphore,
}

/// Serves `/metrics` on each listener until the shutdown.
///
/// # Errors
/// That of a listener that tokio cannot take.
pub fn serve(
    listeners: Vec<TcpListener>,
    source: Arc<dyn FiguresSource>,
    lines: &Arc<dyn Lines>,
    shutdown: &CancellationToken,
) -> std::io::Result<()> {
    if listeners.is_empty() {
        return Ok(());
    }
    let watched = Arc::new(Watched::default());
    tokio::spawn(follow(Arc::clone(lines), Arc::clone(&watched), shutdown.clone()));
    let room = Arc::new(Room { source, watched, places: tokio::sync::Semaphore::new(QUESTIONS_MAX) });
    for listener in listeners {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let router = Router::new().route("/metrics", get(answer)).with_state(Arc::clone(&room));
        let ended = shutdown.clone().cancelled_owned();
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(ended).await {
                tracing::error!(%error, "metrics are served no longer");
            }
        });
    }
    Ok(())
}

async fn answer(State(room): State<Arc<Room>>) -> Response {
    let Ok(_place) = room.places.try_acquire() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "asked too often\n").into_response();
    };
    let text = match room.source.figures().await {
        Ok(figures) => page(figures, &room.watched).map_err(|error| error.to_string()),
        Err(words) => Err(words),
    };
    match text {
        Ok(text) => ([(CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(words) => (StatusCode::SERVICE_UNAVAILABLE, format!("{words}\n")).into_response(),
    }
}

async fn follow(lines: Arc<dyn Lines>, watched: Arc<Watched>, shutdown: CancellationToken) {
    let mut events = lines.subscribe();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            event = events.recv() => match event {
                Ok(event) => watched.handle_event(&event),
                Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "changes of lines are missing in the metrics"),
                Err(RecvError::Closed) => return,
            },
        }
    }
}
