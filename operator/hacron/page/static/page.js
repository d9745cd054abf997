// The page of HACronJob. It asks for JSON beside itself, every two seconds while somebody looks, and shows it.
// What others have named is only ever put into the page as text: textContent and attributes, never markup.
"use strict";

const EVERY_MS = 2000, ANSWER_MS = 8000, LIMIT = 50, FEW = 8;
const VERDICTS = {
  Succeeded: "ran and succeeded", Failed: "ran and failed", Missed: "found too late, or nobody could start it",
  Refused: "no cluster would take it", Lost: "its cluster fell silent", Skipped: "a rule said no",
  Stopped: "stopped before it ended", Running: "running", Pending: "decided, not started yet",
};
const STANDS = {
  Invalid: "invalid", NeverFires: "without any tick", NeverStarts: "without any start", Suspended: "suspended", Paused: "paused", Held: "held", Ended: "ended",
};
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

// --- building ---------------------------------------------------------------------------------------------------------

function node(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}
const el = (tag, attributes, ...children) => node(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => node(document.createElementNS(SVG, tag), attributes, children);
const mark = (kind) => VERDICTS[kind] || kind === "Stopping" ? svg("svg", { class: `mark v-${kind}`, "aria-hidden": "true" }, svg("use", { href: `#m-${kind}` })) : null;
const verdict = (kind) => el("span", { class: VERDICTS[kind] ? `v-${kind}` : null }, mark(kind), kind);

// Fill only what has changed: whoever has the focus there, or selects a text, keeps it.
function fill(where, says, build) {
  const signature = JSON.stringify(says);
  if (where.says === signature) return;
  where.says = signature;
  where.replaceChildren(...[build()].flat().filter((child) => child !== null && child !== undefined));
}

// --- words ------------------------------------------------------------------------------------------------------------

let zone = "utc", ahead = 0; // by how many ms the replica's clock is ahead of ours
const now = () => (Date.now() + ahead) / 1000;
const two = (number) => String(number).padStart(2, "0");
function parts(second) {
  const date = new Date(second * 1000);
  const of = zone === "utc" ? ["getUTCFullYear", "getUTCMonth", "getUTCDate", "getUTCHours", "getUTCMinutes", "getUTCSeconds"] : ["getFullYear", "getMonth", "getDate", "getHours", "getMinutes", "getSeconds"];
  return of.map((name) => date[name]());
}
function clock(second) {
  const [year, month, day, hour, minute, rest] = parts(second), today = parts(now());
  const time = `${two(hour)}:${two(minute)}:${two(rest)}`;
  if (year === today[0] && month === today[1] && day === today[2]) return time;
  return `${year === today[0] ? "" : year + "-"}${two(month + 1)}-${two(day)} ${time}`;
}
const iso = (second) => new Date(second * 1000).toISOString().replace(".000Z", "Z");
const when = (second) => second === null || second === undefined ? null : el("time", { datetime: iso(second), title: iso(second) }, clock(second));
function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 100) return `${whole} s`;
  if (whole < 6000) return `${Math.round(whole / 60)} min`;
  return whole < 172800 ? `${Math.round(whole / 3600)} h` : `${Math.round(whole / 86400)} days`;
}
const ago = (second) => `${span(now() - second)} ago`;
const many = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
const late = (entry) => entry.run || entry.started === null ? null : Math.max(0, entry.started - entry.tick);
const lateness = (entry) => late(entry) === null ? "" : late(entry) === 0 ? "on time" : `${span(late(entry))} late`;
const times = (entry) => entry.count > 100 ? "100+" : String(entry.count); // counting ends a little above a hundred
function told(entry) {
  const kind = entry.verdict || entry.state;
  const bits = [`${kind}: tick ${iso(entry.tick)}`, entry.cluster && `in ${entry.cluster}`, lateness(entry), entry.count > 1 && `${times(entry)} ticks`, entry.attempt > 1 && `attempt ${entry.attempt}`, entry.run && `asked for by ${entry.run}`, entry.why];
  return bits.filter(Boolean).join(", ");
}

// --- what is asked for --------------------------------------------------------------------------------------------------

const FILTERS = ["text", "namespace", "cluster", "verdict", "hours", "troubled"];
let asked = {}, offset = 0, key = "";
function readAddress() {
  const found = new URLSearchParams(location.hash.replace(/^#/, ""));
  key = found.get("key") || "";
  asked = Object.fromEntries(FILTERS.map((name) => [name, found.get(name) || ""]));
  if (!["1", "6", "24"].includes(asked.hours)) asked.hours = "1";
  offset = Math.max(0, parseInt(found.get("offset") || "0", 10) || 0);
  for (const name of FILTERS) {
    if (name === "troubled") $(name).checked = asked.troubled === "true";
    else if (document.activeElement !== $(name) || name !== "text") choose($(name), asked[name]);
  }
  $("overview").hidden = key !== "";
  $("detail").hidden = key === "";
}
function choose(field, value) {
  if (field.tagName === "SELECT" && value && ![...field.options].some((option) => option.value === value)) field.append(el("option", { value }, value));
  field.value = value;
}
function address(changes) {
  const wanted = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...asked, offset: String(offset), ...changes })) {
    if (value && !(name === "hours" && value === "1") && !(name === "offset" && value === "0")) wanted.set(name, value);
  }
  return `#${wanted}`;
}
const link = (of, text) => el("a", { href: `#${new URLSearchParams({ key: of })}` }, text || of);

async function ask(path, fields) {
  const answer = await fetch(`${path}?${new URLSearchParams(fields)}`, { signal: AbortSignal.timeout(ANSWER_MS), credentials: "same-origin" });
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error((await answer.text()).slice(0, 300));
  return answer.json();
}

let timer = 0, turn = 0, answeredAt = 0;
async function refresh() {
  clearTimeout(timer);
  const mine = ++turn, of = key;
  let next = EVERY_MS;
  try {
    const seen = await ask("overview.json", { hours: asked.hours });
    const fields = { limit: LIMIT, offset, hours: asked.hours };
    for (const name of ["text", "namespace", "cluster", "verdict", "troubled"]) if (asked[name]) fields[name] = asked[name];
    const shown = of ? await ask("cronjob.json", { key: of }) : await ask("cronjobs.json", fields);
    if (mine !== turn) return;
    answeredAt = Date.now();
    ahead = seen.now * 1000 + 500 - answeredAt;
    if (Math.abs(ahead) < 1500) ahead = 0; // whole seconds, and the way: the clocks agree
    showOverview(seen);
    if (of) showDetail(of, shown); else showList(shown);
    warn(seen.replica.connected ? "" : "This replica has no connection to the broker: what is shown below is old. Ask another replica.");
    document.body.classList.toggle("stale", !seen.replica.connected);
    if (seen.seen === null) next = 500;
  } catch (error) {
    if (mine !== turn) return;
    warn(`No answer${answeredAt ? ` since ${clock((answeredAt + ahead) / 1000)}` : ""}: ${error.message || error}. What is shown may be old; asking again.`);
    document.body.classList.add("stale");
    next = 2 * EVERY_MS;
  }
  if (!document.hidden) timer = setTimeout(refresh, next);
}
function warn(text) {
  if ($("banner").textContent !== text) $("banner").textContent = text;
  $("banner").hidden = text === "";
}

// --- the overview -------------------------------------------------------------------------------------------------------

function headline(seen) {
  if (!seen.replica.connected) return ["bad", `${seen.replica.name} has lost the broker`];
  if (seen.seen === null || !seen.replica.caughtUp) return ["", "The ledger is still being read, or there is no executor"];
  if (!seen.executor) return ["bad", "There is no executor yet: nothing fires"];
  if (seen.wrong) return ["bad", seen.wrong === 1 ? "One thing is wrong" : `${seen.wrong.toLocaleString("en")} things are wrong`];
  return ["good", `All is well: ${many(seen.cronjobs.total, "cronjob")}, ${many(seen.clustersTotal, "cluster")}`];
}
function showOverview(seen) {
  const [how, says] = headline(seen);
  if ($("headline").textContent !== says) $("headline").textContent = says;
  $("headline").className = how;
  document.title = `${how === "bad" ? "✕ " : ""}${says} – HACronJob`;
  fill($("foot"), [seen.replica], () => `Shown by replica ${seen.replica.name} in ${seen.replica.cluster}, version ${seen.replica.version}. ${seen.replica.ready ? "It is ready." : `It is not ready: ${seen.replica.reasons.join("; ")}.`}`);
  if (seen.seen === null) return;
  showFacts(seen);
  troubles = seen.troubles;
  showTroubles();
  $("wrong-section").hidden = troubles.length === 0;
  $("wrong-more").textContent = seen.troublesTotal > troubles.length ? `These are the first ${troubles.length} of ${seen.troublesTotal.toLocaleString("en")}; search below for the others.` : "";
  fill($("clusters"), [seen.clusters, seen.past, seen.coming, zone], () => [...seen.clusters.map((one) => cluster(one, seen)), seen.past.nowhere.length || seen.coming.nowhere.length ? nowhere(seen) : null]);
  const long = asked.hours === "1" ? "hour" : `${asked.hours} hours`, left = seen.coming.uncounted;
  $("clusters-note").textContent = `Above: ticks of the last ${long}, as far as their verdicts are kept (the newest few of each cronjob): up what succeeded, down what did not. Below: ticks of the coming ${long}, where they would go as things stand; all clusters to one scale.${left ? ` ${many(left, "cronjob")} could not be counted in time.` : ""}`;
  options($("namespace"), seen.namespaces);
  options($("cluster"), seen.clusters.map((one) => one.name));
}
let troubles = [], unfolded = false;
function showTroubles() {
  const few = unfolded || troubles.length <= FEW + 1 ? troubles : troubles.slice(0, FEW);
  fill($("wrong"), [few, zone, Math.floor(now() / 20)], () => few.map(trouble));
  $("wrong-all").hidden = !unfolded && few.length === troubles.length;
  $("wrong-all").textContent = unfolded ? `Show only the worst ${FEW}` : `Show all ${troubles.length}`;
  $("wrong-all").setAttribute("aria-expanded", String(unfolded));
}
function showFacts(seen) {
  const decides = seen.executor, runs = seen.runs, jobs = seen.cronjobs;
  const fact = (name, big, small) => el("div", {}, el("dt", {}, name), el("dd", {}, el("b", {}, big), small ? " " : null, small ? el("small", {}, small) : null));
  const rest = Object.entries(STANDS).filter(([name]) => jobs[name]).map(([name, says]) => `${jobs[name]} ${says}`).join(", ");
  const facts = [
    ["Executor", decides ? decides.replica : "none", decides ? [decides.cluster && `in ${decides.cluster}`, decides.since && `since ${clock(decides.since)}`, decides.proved && `proved ${ago(decides.proved)}`].filter(Boolean).join(", ") : ""],
    ["Epoch", decides ? String(decides.epoch) : "–", ""],
    ["Cronjobs", jobs.total.toLocaleString("en"), rest],
    ["Open runs", String(Object.values(runs).reduce((sum, one) => sum + one, 0)), Object.entries(runs).filter(([, count]) => count).map(([state, count]) => `${count} ${state.toLowerCase()}`).join(", ")],
  ];
  fill($("facts"), facts, () => facts.map((one) => fact(...one)));
}
function trouble(one) {
  const about = one.key ? link(one.key) : one.cluster ? el("b", {}, one.cluster) : "";
  const where = [one.key && one.cluster ? `in ${one.cluster}` : "", one.run ? `run ${one.run}` : ""].filter(Boolean).join(", ");
  return el("li", { class: `s${one.severity}` }, el("span", { class: "kind" }, mark(one.kind), one.kind), el("span", { class: "words" }, about, where ? el("small", { class: "quiet" }, ` ${where}`) : null), el("span", { class: "words" }, one.message), el("span", { class: "when" }, one.since ? el("time", { datetime: iso(one.since), title: iso(one.since) }, `${clock(one.since)}, ${ago(one.since)}`) : ""));
}
function cluster(one, seen) {
  const bad = one.troubles.length > 0;
  const runs = [[one.running, "running"], [one.pending, "pending"], [one.lost, "lost"]].filter(([count]) => count).map(([count, word]) => `${count} ${word}`).join(", ");
  return el("div", { class: `cluster${bad ? " bad" : ""}` },
    el("h3", {}, one.name, el("span", { class: "quiet" }, bad ? `✕ ${one.troubles[0].kind}, heard ${ago(one.seen)}` : `✓ heard ${ago(one.seen)}`)),
    el("p", {}, `worker ${one.worker || "unknown"}; ${runs || "no open runs"}`, one.apiReachable ? "" : "; API server unreachable"),
    pillars(one.past, seen.past), load(one.coming, seen));
}
const nowhere = (seen) => el("div", { class: "cluster none" }, el("h3", {}, "in no cluster"), el("p", {}, "ticks that were skipped, missed or refused, or that no cluster would take"), pillars(seen.past.nowhere, seen.past), load(seen.coming.nowhere, seen));
function pillars(past, frame) {
  const most = Math.max(1, ...past.map(([, good, bad, none]) => Math.max(good + none, bad)));
  const high = (count) => count ? Math.max(2.5, 21 * Math.sqrt(count / most)) : 0;
  const bar = (number, from, height, kind, title) => height ? svg("rect", { class: kind, x: `${number / 60 * 100}%`, width: "1.3%", y: from, height }, svg("title", {}, title)) : null;
  const sums = [1, 2, 3].map((at) => past.reduce((sum, one) => sum + one[at], 0));
  return svg("svg", { class: "pillars", role: "img", "aria-label": `${sums[0]} succeeded, ${sums[1]} did not, ${sums[2]} needed not` },
    svg("line", { x1: 0, x2: "100%", y1: 22, y2: 22 }),
    ...past.flatMap(([number, good, bad, none]) => {
      const title = `${clock(frame.begin + number * frame.each)}: ${good} succeeded, ${bad} did not, ${none} needed not`;
      return [bar(number, 22 - high(good), high(good), "good", title), bar(number, 22 - high(good) - high(none), high(none), "none", title), bar(number, 22, high(bad), "bad", title)];
    }));
}
// How many ticks are to come, column by column. The highest column of all clusters fills the height.
function load(coming, seen) {
  const frame = seen.coming, all = coming.reduce((sum, [, ticks]) => sum + ticks, 0);
  const most = Math.max(1, ...[frame.nowhere, ...seen.clusters.map((one) => one.coming)].flat().map(([, ticks]) => ticks));
  const at = (number) => clock(frame.begin + number * frame.each), [peak, high] = coming.reduce((best, one) => one[1] > best[1] ? one : best, [0, 0]);
  const says = all ? `${many(all, "tick")} to come, most at ${at(peak)}: ${high.toLocaleString("en")}` : "nothing to come";
  return [svg("svg", { class: "load", role: "img", "aria-label": says },
    svg("line", { x1: 0, x2: "100%", y1: 27, y2: 27 }),
    ...coming.map(([number, ticks]) => { const tall = Math.max(2, 26 * ticks / most); return svg("rect", { x: `${number / 60 * 100}%`, width: "1.3%", y: 27 - tall, height: tall }, svg("title", {}, `${at(number)}: ${many(ticks, "tick")} to come`)); })),
    el("p", {}, says)];
}
function options(select, names) {
  if (select === document.activeElement) return;
  const chosen = select.value;
  fill(select, names, () => [el("option", { value: "" }, "all"), ...names.map((name) => el("option", { value: name }, name))]);
  choose(select, chosen);
}

// --- the list -----------------------------------------------------------------------------------------------------------

const kept = new Map(); // key → its row
function showList(seen) {
  const gone = new Set(kept.keys()), body = $("rows");
  seen.cronjobs.forEach((one, at) => {
    gone.delete(one.key);
    if (!kept.has(one.key)) kept.set(one.key, el("tr", {}, ...["name", "last", "ticks", "next"].map((name) => el("td", { class: name }))));
    const row = kept.get(one.key);
    fillRow(row, one);
    if (body.children[at] !== row) body.insertBefore(row, body.children[at] || null);
  });
  for (const old of gone) { kept.get(old).remove(); kept.delete(old); }
  $("list").hidden = seen.cronjobs.length === 0;
  $("empty").hidden = seen.cronjobs.length > 0;
  $("empty").textContent = seen.total ? "There is nothing on this page of the list." : FILTERS.some((name) => name !== "hours" && asked[name]) ? "No cronjob is like this." : "There is no cronjob yet.";
  $("found").textContent = seen.total.toLocaleString("en");
  $("range").textContent = seen.total ? `${seen.offset + 1}–${Math.min(seen.offset + seen.cronjobs.length, seen.total)} of ${seen.total.toLocaleString("en")}` : "";
  $("back").disabled = seen.offset === 0;
  $("forth").disabled = seen.offset + seen.limit >= seen.total;
  $("pager").hidden = seen.total <= seen.limit && seen.offset === 0;
  fill($("axis"), [asked.hours], () => [`−${asked.hours} h`, "now", `+${asked.hours} h`].map((text) => el("span", {}, text)));
}
function fillRow(row, one) {
  const worst = Math.max(0, ...one.troubles.map((each) => each.severity));
  row.className = worst ? `s${worst}` : "";
  const tags = [...new Set([...one.troubles.map((each) => each.kind), ...(["Scheduled", "Held"].includes(one.condition) ? [] : [one.condition])])];
  fill(row.children[0], [one.key, one.schedule, one.timeZone, tags, worst], () => [link(one.key), ...tags.map((tag) => el("span", { class: `tag s${Math.max(0, ...one.troubles.filter((each) => each.kind === tag).map((each) => each.severity))}` }, tag)), el("span", { class: "sub" }, el("code", {}, one.schedule || "?"), one.timeZone && !one.timeZone.endsWith("UTC") ? ` ${one.timeZone}` : "")]);
  const running = one.open.filter((run) => run.state !== "Pending" || run.tick <= now()), results = one.recent.filter((each) => each.verdict !== "Skipped"), last = [...running.slice(-1), ...results.slice(-1), ...one.recent.slice(-1)][0];
  fill(row.children[1], [last, last && ago(last.tick), zone], () => last ? [verdict(last.verdict || last.state), last.count > 1 ? ` ×${times(last)}` : null, el("span", { class: "sub", title: told(last) }, [ago(last.tick), last.cluster && `in ${last.cluster}`, lateness(last)].filter(Boolean).join(", "))] : el("span", { class: "sub" }, "nothing yet"));
  fill(row.children[2], [one.recent, one.open, one.next, asked.hours, Math.floor(now() / (asked.hours * 5)), zone], () => strip(one, Number(asked.hours)));
  fill(row.children[3], [one.next[0], zone, one.next.length && span(one.next[0] - now())], () => one.next.length ? [when(one.next[0]), el("span", { class: "sub" }, one.next[0] > now() ? `in ${span(one.next[0] - now())}` : "due")] : el("span", { class: "sub" }, "–"));
}
function strip(one, hours) {
  const width = hours * 3600, middle = now();
  const at = (second) => `${((second - middle) / width * 50 + 50).toFixed(2)}%`;
  const inside = (entry) => Math.abs(entry.tick - middle) <= width;
  const past = [...one.recent, ...one.open].filter(inside);
  const sums = past.reduce((sums, entry) => ({ ...sums, [entry.verdict || entry.state]: (sums[entry.verdict || entry.state] || 0) + 1 }), {});
  const open = new Set(one.open.map((run) => run.tick)), coming = one.next.filter((tick) => tick - middle <= width && !open.has(tick));
  return svg("svg", { class: "strip", role: "img", "aria-label": [...Object.entries(sums).map(([kind, count]) => `${count} ${kind}`), `${coming.length} to come`].join(", ") },
    svg("line", { class: "base", x1: 0, x2: "100%", y1: 14, y2: 14 }),
    ...coming.map((tick) => svg("line", { class: "tick", x1: at(tick), x2: at(tick), y1: 9, y2: 19 }, svg("title", {}, `to come: ${iso(tick)}`))),
    svg("line", { class: "now", x1: "50%", x2: "50%", y1: 0, y2: 28 }),
    ...past.map((entry) => svg("svg", { x: at(entry.tick), y: 7, class: `v-${entry.verdict || entry.state}`, overflow: "visible" }, svg("use", { href: `#m-${entry.verdict || entry.state}`, x: -7, y: 0, width: 14, height: 14 }), svg("title", {}, told(entry)))));
}

// --- one cronjob --------------------------------------------------------------------------------------------------------

function showDetail(of, one) {
  if (one === null) {
    fill($("detail"), [of, null], () => [back(), el("h2", {}, of), el("p", {}, "No cluster declares this cronjob, or this replica has not heard of it yet.")]);
    return;
  }
  fill($("detail"), [one.key, zone], () => [back(), ...["head", "strip", "troubles", "open", "recent", "coming", "homes", "runs"].map((name) => el("div", { "data-part": name }))]);
  const part = (name) => $("detail").querySelector(`[data-part=${name}]`);
  const rules = one.rules && [one.rules.concurrencyPolicy, one.rules.guarantee, `catch-up ${one.rules.catchUp}`, one.rules.startingDeadlineSeconds !== null && `deadline ${one.rules.startingDeadlineSeconds} s`, `in ${one.rules.placement}`].filter(Boolean).join("; ");
  fill(part("head"), [one.key, one.schedule, one.timeZone, one.condition, rules, one.lastSuccessful, zone], () => [
    el("h2", {}, one.key, el("span", { class: `tag${["Invalid", "NeverFires", "NeverStarts"].includes(one.condition) ? " s3" : ""}` }, one.condition)),
    el("p", {}, el("code", {}, one.schedule || "no schedule that can be understood"), ` ${one.timeZone || ""}`, rules ? el("span", { class: "quiet" }, ` ${rules}`) : null),
    el("p", { class: "quiet" }, one.lastSuccessful ? ["last success ended ", when(one.lastSuccessful)] : "no success so far")]);
  fill(part("strip"), [one.recent, one.open, one.next, Math.floor(now() / 60), zone], () => el("div", { class: "panel" }, strip(one, fit(one)), el("div", { class: "note" }, `${fit(one)} h before and after now`)));
  fill(part("troubles"), [one.troubles, zone], () => one.troubles.length ? el("ul", { class: "troubles" }, ...one.troubles.map((each) => el("li", { class: `s${each.severity}` }, el("span", { class: "kind" }, mark(each.kind), each.kind), each.since ? [" since ", when(each.since)] : null, each.cluster ? ` in ${each.cluster}` : null, el("div", { class: "words" }, each.message)))) : null);
  fill(part("open"), [one.open, zone], () => one.open.length ? [el("h3", {}, "Open runs"), table(["State", "Tick", "Cluster", "Job", "Started"], [...one.open].reverse().map((run) => [verdict(run.state), when(run.tick), run.cluster, logs(one, run), [run.started ? lateness(run) || clock(run.started) : "not yet", run.attempt > 1 ? `, attempt ${run.attempt}` : "", run.run ? `, for run ${run.run}` : ""].join("")]))] : null);
  fill(part("recent"), [one.recent, zone], () => [el("h3", {}, "What became of its ticks"), one.recent.length ? table(["Verdict", "Tick", "Cluster", "Start", "Took", "Job", "Why"], [...one.recent].reverse().map((each) => [el("span", {}, verdict(each.verdict), each.count > 1 ? ` ×${times(each)}` : ""), when(each.tick), each.cluster, [lateness(each), each.attempt > 1 ? `, attempt ${each.attempt}` : ""].join(""), each.started !== null && each.finished !== null ? span(each.finished - each.started) : "", each.job ? logs(one, each) : "", each.why])) : el("p", { class: "note" }, "Nothing has become due so far.")]);
  fill(part("coming"), [one.next.slice(0, 12), zone], () => [el("h3", {}, "Next"), one.next.length ? el("ul", { class: "chips" }, ...one.next.slice(0, 12).map((tick) => el("li", {}, when(tick)))) : el("p", { class: "note" }, "No tick is to come.")]);
  fill(part("homes"), [one.homes, zone], () => [el("h3", {}, "Declared in"), table(["Cluster", "Changed", "Conditions"], one.homes.map((home) => [el("span", {}, home.cluster, home.counts && one.homes.length > 1 ? el("span", { class: "tag" }, "counts") : null), el("span", {}, when(home.changed), ` generation ${home.generation}`), el("div", {}, ...home.conditions.map((each) => el("div", {}, el("b", {}, `${each.type}=${each.status}`), ` ${each.reason}: ${each.message}`)))]))]);
  fill(part("runs"), [one.runs, zone], () => one.runs.length ? [el("h3", {}, `Runs beside the schedule (HACronJobRun)`), table(["Name", "Phase", "Succeeded", "Failed", "Created", "Why"], one.runs.map((run) => [run.name, run.phase, `${run.succeeded}${run.total ? ` of ${run.total}` : ""}`, String(run.failed), when(run.created), run.why])), one.runsTotal > one.runs.length ? el("p", { class: "note" }, `The newest ${one.runs.length} of ${one.runsTotal}.`) : null] : null);
}
// The least of the windows that holds what is known of the past and a few ticks to come.
function fit(one) {
  const far = Math.max(...[...one.recent, ...one.open].map((each) => now() - each.tick), one.next.length ? one.next[Math.min(5, one.next.length - 1)] - now() : 0);
  return [1, 6, 24].find((hours) => far < hours * 3600) || 24;
}
const back = () => el("p", {}, el("a", { href: address({}) }, "← All cronjobs"));
const logs = (one, entry) => el("code", { title: `kubectl logs -n ${one.namespace} job/${entry.job}   (in ${entry.cluster})` }, entry.job);
function table(heads, rows) {
  const cells = (row) => row.map((cell, at) => el("td", { "data-label": at ? heads[at] : null }, cell));
  return el("div", { class: "scroll" }, el("table", { class: "cards" }, el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))), el("tbody", {}, ...rows.map((row) => el("tr", {}, ...cells(row))))));
}

// --- beginning ----------------------------------------------------------------------------------------------------------

function remember(name, value) {
  try { if (value === undefined) return localStorage.getItem(name); localStorage.setItem(name, value); } catch { /* not allowed to: then not */ }
  return null;
}
function changed(field) {
  offset = 0;
  asked[field.name] = field.type === "checkbox" ? (field.checked ? "true" : "") : field.value.trim();
  history.replaceState(null, "", address({}));
  refresh();
}
let typing = 0;
$("text").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => changed($("text")), 200); });
for (const name of ["namespace", "cluster", "verdict", "hours", "troubled"]) $(name).addEventListener("change", () => changed($(name)));
$("filter").addEventListener("submit", (event) => { event.preventDefault(); changed($("text")); });
$("back").addEventListener("click", () => { location.hash = address({ offset: String(Math.max(0, offset - LIMIT)) }); });
$("forth").addEventListener("click", () => { location.hash = address({ offset: String(offset + LIMIT) }); });
$("wrong-all").addEventListener("click", () => { unfolded = !unfolded; showTroubles(); });
$("zone").addEventListener("change", () => { zone = $("zone").value; remember("hacron-zone", zone); refresh(); });
window.addEventListener("hashchange", () => {
  const was = key;
  if (location.hash === "#main") return;
  readAddress();
  if (was !== key) { window.scrollTo(0, 0); $("main").focus({ preventScroll: true }); }
  refresh();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
document.addEventListener("keydown", (event) => {
  const writes = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
  if (event.key === "/" && !writes && !event.ctrlKey && !event.metaKey && key === "") { event.preventDefault(); $("text").focus(); $("text").select(); }
  if (event.key === "Escape" && !writes && key !== "") location.hash = address({});
});
setInterval(() => { $("clock").textContent = `${clock(now())} ${zone === "utc" ? "UTC" : ""}`; }, 1000);

zone = remember("hacron-zone") === "local" ? "local" : "utc";
$("zone").value = zone;
for (const kind of Object.keys(VERDICTS)) $("verdict").append(el("option", { value: kind }, kind));
$("legend").append(...Object.entries(VERDICTS).map(([kind, says]) => el("span", {}, mark(kind), `${kind}: ${says}`)));
readAddress();
refresh();
