//! The responses of the page's paths.

use miniserde::json;
use satellite_core::http::unescaped;
use satellite_serve::{Request, Response};

use super::access::is_own_form;
use super::{events, render};
use crate::Health;

/// The style and the script are the document's own: these are their SHA-256. Nothing else runs
/// or is loaded, and no other page can frame this one. A test compares them with the files.
pub(super) const POLICY: &str = concat!(
    "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; ",
    "connect-src 'self'; img-src data:; ",
    "style-src 'sha256-HoUxU6a72zEGFoEM8IBz85YdtvlQmEW31pEdYSElM2c='; ",
    "script-src 'sha256-Gjduz9JKSDh3+t3dqNDa7mc/VyW/askodPF7+Q8QrtU='",
);

/// `None` if the path is none of the page's.
pub(crate) fn respond(request: &mut Request<'_>, health: &Health) -> Option<Response> {
    let is_read = matches!(request.method(), "GET" | "HEAD");
    let response = match request.path() {
        "/" | "/events" | "/status.json" if !is_read => not_allowed("GET, HEAD"),
        "/alerts/acknowledge" if request.method() != "POST" => not_allowed("POST"),
        path @ ("/" | "/events" | "/status.json" | "/alerts/acknowledge") => {
            match health.page().0.access.check(request) {
                Err(response) => response,
                Ok(()) => permitted(path, request, health),
            }
        }
        _ => return None,
    };
    Some(
        response
            .header("content-security-policy", POLICY)
            .header("x-frame-options", "DENY")
            .header("x-content-type-options", "nosniff")
            // Not `no-referrer`: with it a browser sends the origin of a form as `null`.
            .header("referrer-policy", "same-origin")
            .header("cross-origin-resource-policy", "same-origin")
            .header("cache-control", "no-store"),
    )
}

fn permitted(path: &str, request: &mut Request<'_>, health: &Health) -> Response {
    let page = health.page();
    match path {
        "/events" if request.method() == "HEAD" => Response::new(200),
        "/events" => events::response(health),
        "/status.json" => Response::json(200, json::to_string(&page.view(health))),
        "/alerts/acknowledge" => acknowledge(request, health),
        _ => Response::new(200)
            .header("content-type", "text/html; charset=utf-8")
            .body(render::document(&page.view(health))),
    }
}

fn acknowledge(request: &mut Request<'_>, health: &Health) -> Response {
    if !is_own_form(request) {
        return Response::text(403, "This form was sent by another site.\n");
    }
    let body = request.read_body().unwrap_or_default();
    let body = String::from_utf8_lossy(&body);
    let fields = body.split('&').filter_map(|field| field.split_once('='));
    let mut alerts = fields.filter(|(name, _)| *name == "alert");
    let alert = alerts
        .next()
        .map(|(_, value)| unescaped(&value.replace('+', " ")));
    match alert.is_some_and(|alert| health.page().acknowledge(&alert)) {
        true => Response::new(303).header("location", "/#alerts"),
        false => Response::text(404, "There is no such open alert.\n"),
    }
}

fn not_allowed(methods: &str) -> Response {
    Response::text(405, "not allowed\n").header("allow", methods)
}
