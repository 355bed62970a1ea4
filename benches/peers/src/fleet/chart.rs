//! A chart of requests per second over time as an SVG, for light and dark backgrounds.

const WIDTH: f64 = 900.0;
const PANEL: f64 = 150.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 64.0;
const GAP: f64 = 46.0;
const RIGHT: f64 = 20.0;

/// One panel for each line, all with the same axes. The outage lasts from `start` to `end`, in seconds.
pub fn draw(lines: &[(&str, &[u32])], start: f64, end: f64) -> String {
    let seconds = lines.iter().map(|(_, rate)| rate.len()).max().unwrap_or(1) as f64;
    let peak = lines.iter().flat_map(|(_, rate)| rate.iter()).max();
    let top = (f64::from(*peak.unwrap_or(&1)) / 1000.0).ceil() * 1000.0;
    let height = TOP + lines.len() as f64 * (PANEL + GAP) + 8.0;
    let x = |second: f64| LEFT + second / seconds * (WIDTH - LEFT - RIGHT);
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Requests per second of a fleet during an outage">
<style>
  text {{ font: 12px system-ui, sans-serif; fill: #59636e; }}
  .title {{ font-size: 16px; font-weight: 600; fill: #1f2328; }}
  .name {{ font-size: 13px; font-weight: 600; fill: #1f2328; }}
  .paper {{ fill: #ffffff; }}
  .grid {{ stroke: #d1d9e0; stroke-width: 1; }}
  .outage {{ fill: #d1242f; opacity: .1; }}
  .rate {{ fill: none; stroke: #0969da; stroke-width: 1.25; stroke-linejoin: round; }}
  @media (prefers-color-scheme: dark) {{
    text {{ fill: #9198a1; }}
    .title, .name {{ fill: #f0f6fc; }}
    .paper {{ fill: #0d1117; }}
    .grid {{ stroke: #3d444d; }}
    .outage {{ fill: #f85149; opacity: .2; }}
    .rate {{ stroke: #4493f8; }}
  }}
</style>
<rect class="paper" width="{WIDTH}" height="{height}"/>
<text class="title" x="{LEFT}" y="24">Requests per second of 10,000 satellites during an outage of ten minutes</text>
<text x="{LEFT}" y="42">in bins of one second; shaded: the platform is down</text>
"#
    );
    for (n, (name, rate)) in lines.iter().enumerate() {
        let above = TOP + n as f64 * (PANEL + GAP) + 16.0;
        let y = |value: f64| above + PANEL * (1.0 - value / top);
        let (begin, wide) = (x(start), x(end) - x(start));
        svg += &format!(
            "<text class=\"name\" x=\"{LEFT}\" y=\"{:.1}\">{name}</text>\n",
            above - 6.0
        );
        svg += &format!(
            "<rect class=\"outage\" x=\"{begin:.1}\" y=\"{above:.1}\" width=\"{wide:.1}\" height=\"{PANEL}\"/>\n"
        );
        for step in 0..=2 {
            let value = top * f64::from(step) / 2.0;
            let (y, right) = (y(value), WIDTH - RIGHT);
            svg += &format!("<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>");
            svg += &format!(
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>\n",
                LEFT - 8.0,
                y + 4.0
            );
        }
        for minute in (0..=(seconds / 60.0) as u32).step_by(5) {
            let x = x(f64::from(minute) * 60.0);
            svg += &format!(
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{minute} min</text>\n",
                above + PANEL + 16.0
            );
        }
        let points = rate.iter().enumerate().map(|(second, value)| {
            format!("{:.1},{:.1}", x(second as f64 + 0.5), y(f64::from(*value)))
        });
        svg += &format!(
            "<polyline class=\"rate\" points=\"{}\"/>\n",
            points.collect::<Vec<_>>().join(" ")
        );
    }
    svg + "</svg>\n"
}
