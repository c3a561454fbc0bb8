/*
 * Ten million messages of 200 bytes through the local server, with archiving on.
 *
 *   node --import tsx scripts/ten-million.ts [--seed N] [--messages 10000000] [--control]
 *
 * Shows that the rows that stay in the store are bounded, that a pull from any offset takes two calls of the ports, that
 * the data file is used again, that the server's memory is bounded, and how fast the topic is replayed, compared with a
 * bare server that streams the same files. Every message is checked. Controls, over fewer messages: rows are never
 * dropped; a directory is not remembered; the index of a blob is read from the blob. Each has to be noticed.
 */
import { join } from "node:path";
import { limits } from "../src/broker/limits.ts";
import { blobFolders } from "./audit/archive-state.ts";
import { readCommandLine, say } from "./audit/command-line.ts";
import { filesBelow } from "./audit/files.ts";
import { anonymousBytesOf } from "./audit/process-facts.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import {
  buildServer,
  finish,
  type Patch,
  ServerProcess,
  withFolder,
} from "./audit/server-process.ts";
import { lookAtStore, type StoredEntry } from "./audit/store-look.ts";
import { median } from "./bench/measure.ts";
import { ServerProcess as MeasuredProcess } from "./bench/server-process.ts";
import { BatchBook, batchMessagesMin, messageBytes } from "./ten-million/batch-book.ts";
import { compare, fileReaders, type Slice, topicReaders } from "./ten-million/compare.ts";
import { type Loaded, load, makeTopic } from "./ten-million/load.ts";
import { replay } from "./ten-million/replay.ts";
import { RowsWatch, rowsLeft } from "./ten-million/rows-left.ts";
import { Samples } from "./ten-million/samples.ts";
import { type Sought, seek } from "./ten-million/seek.ts";

const MB = 1_048_576;
const queues = 4;
const producers = 8;
const controlMessages = 100_000;
const seekPulls = 1_200;
const rssMaxBytes = 400 * MB;
const rssEveryMs = 100;
const replayRatioMin = 0.3;
const fileGrowthMax = 1.1;
/** So late the sweep may be with what is due (ms). */
const sweepSlackMs = 5_000;
/** For so long a queue's end that was seen may be told (ms). */
const queueEndAgeMsMax = 1_000;
/** The shortest retention that a topic may have. */
const briefRetentionMs = limits.retentionMsMin;

const { messages, controlOnly, random } = readCommandLine("ten-million", {
  messages: 10_000_000,
});

/** Settings of the server that make a small topic go through as much as a large one. */
interface Scale {
  readonly messages: number;
  readonly segmentBytes: number;
  readonly rowsKeptMs: number;
}

function scaleOf(count: number): Scale {
  const segmentBytes = Math.round(Math.min(16 * MB, Math.max(MB, (count * messageBytes) / 100)));
  return { messages: count, segmentBytes, rowsKeptMs: count < 1_000_000 ? 1_000 : 10_000 };
}

/** The server keeps rows for 80 s at least because of other processes that append to the same queues. Here there are none. */
const rowsGoSoon: readonly Patch[] = [
  {
    file: "src/local/settings.ts",
    find: "min: limits.directoryAgeMsMax + limits.appendDeadlineMs,",
    replace: "min: 0,",
  },
  {
    file: "src/broker/log/log-settings.ts",
    find: "settings.rowsKeptMs >= limits.directoryAgeMsMax + limits.appendDeadlineMs,",
    replace: "settings.rowsKeptMs > 0,",
  },
];

interface Run {
  readonly scale: Scale;
  readonly data: string;
  readonly server: ServerProcess;
  readonly book: BatchBook;
}

async function withServer<T>(
  name: string,
  { patches, scale }: { readonly patches: readonly Patch[]; readonly scale: Scale },
  use: (run: Run) => Promise<T>,
): Promise<T> {
  const bundle = await buildServer(`ten-million-${name}`, [...rowsGoSoon, ...patches]);
  return withFolder(async (folder) => {
    const data = join(folder, "data");
    const options = {
      "--segment-bytes": scale.segmentBytes,
      "--archive-min-bytes": Math.min(MB, scale.segmentBytes),
      "--rows-kept-ms": scale.rowsKeptMs,
    };
    const server = await ServerProcess.start({
      bundle,
      data,
      options: Object.entries(options).flatMap(([option, value]) => [option, String(value)]),
    });
    await makeTopic(server.url, "events", { queues });
    const book = new BatchBook("events", scale.messages, random);
    const result = await use({ scale, data, server, book });
    const { code } = await server.stop();
    if (code !== 0 || server.errors !== "") throw new Error(`the server ended: ${server.errors}`);
    return result;
  });
}

interface RowsShown {
  readonly bounded: boolean;
  readonly fileHighWater: number;
  readonly loaded: Loaded;
}

/** (a) */
async function loadAndSettle({ scale, data, server, book }: Run): Promise<RowsShown> {
  const watch = new RowsWatch(data, sweepSlackMs);
  const loaded = await load(server.url, book, { queues, producers, random });
  say(
    `  ${book.messages} messages in ${book.batches} batches sent in ${loaded.seconds.toFixed(1)} s: ` +
      `${loaded.messagesPerSecond.toFixed(0)}/s, ${megabytes(loaded.messagesPerSecond * messageBytes)} MB/s`,
  );
  const atEnd = await settled(data, scale);
  await watch.stop();
  const { most } = watch;
  say(
    `  rows in the store, most of ${watch.looks} looks: ${most.rows} (active ${most.active}, sealed ${most.sealed}, ` +
      `archived and kept ${most.kept}, overdue ${most.overdue})`,
  );
  const rowsPerSegment = Math.ceil((scale.segmentBytes + MB) / (batchMessagesMin * messageBytes));
  const total = atEnd.active + atEnd.sealed + atEnd.kept + atEnd.overdue;
  const bounded = [
    judge(
      `(a) meanwhile every row belongs to an active segment, to one sealed less than ${sweepSlackMs / 1_000} s ago, ` +
        `or to one archived less than ${(scale.rowsKeptMs + sweepSlackMs) / 1_000} s ago`,
      most.overdue === 0,
    ),
    judge(
      `(a) at the end ${total} rows are left, all of active segments: at most ${queues * rowsPerSegment}, ` +
        `${queues} of ${megabytes(scale.segmentBytes)} MB`,
      total === atEnd.active && total <= queues * rowsPerSegment,
    ),
  ].every(Boolean);
  return { bounded, fileHighWater: watch.most.fileBytes, loaded };
}

/** What is left when only active segments have rows, or when that does not come true. */
async function settled(data: string, { rowsKeptMs }: Scale) {
  const until = Date.now() + rowsKeptMs + 2 * sweepSlackMs;
  for (;;) {
    const left = rowsLeft(await lookAtStore(data), sweepSlackMs);
    if (left.sealed + left.kept + left.overdue === 0 || Date.now() > until) return left;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/**
 * (b) What is remembered of the topic (5 s), of both ends of a queue's directory (20 s each) and of the queue's end (1 s)
 * is read again when it is too old, by whichever pull comes then; only so many calls may be more than two a pull.
 */
function judgeSeek({ pulls, seconds, pullsByCalls, blobReadsMost }: Sought): boolean {
  const histogram = [...pullsByCalls].sort(([a], [b]) => a - b);
  const told = histogram.map(([calls, count]) => `${calls} by ${count}`).join(", ");
  say(`  ${pulls} pulls from anywhere in ${seconds.toFixed(1)} s; calls of the ports: ${told}`);
  const times = (ms: number) => Math.ceil((seconds * 1_000) / ms);
  const { topicAgeMsMax, directoryAgeMsMax } = limits;
  const due =
    times(topicAgeMsMax) + queues * (2 * times(directoryAgeMsMax) + times(queueEndAgeMsMax));
  const more = histogram.reduce((sum, [calls, count]) => sum + count * Math.max(0, calls - 2), 0);
  return judge(
    `(b) a pull takes at most two calls, one of them of a blob: ${more} calls more, of ${due} for what had become old; ` +
      `at most ${blobReadsMost} of blobs`,
    more <= due && blobReadsMost <= 1,
  );
}

/** (c) As many messages as show it, no faster than the first ones: the more is on its way, the larger is the file. */
async function loadAgain(
  { scale, data, server }: Run,
  { fileHighWater, loaded }: RowsShown,
  behind: string,
): Promise<boolean> {
  const count = Math.max(Math.min(scale.messages, controlMessages), Math.round(scale.messages / 4));
  const book = new BatchBook("brief", count, random);
  await makeTopic(server.url, book.topic, { queues, retentionMs: briefRetentionMs });
  const watch = new RowsWatch(data, sweepSlackMs);
  const messagesPerSecondMax = loaded.messagesPerSecond;
  await load(server.url, book, { queues, producers, random, messagesPerSecondMax });
  await watch.stop();
  const { fileBytes } = watch.most;
  return judge(
    `(c) ${count} more messages, behind ${behind}, bring the data file from ${megabytes(fileHighWater)} MB to ` +
      `${megabytes(fileBytes)} MB, at most ${fileGrowthMax} of it`,
    fileBytes <= fileHighWater * fileGrowthMax,
  );
}

/** Waits for the retention of the brief topic to end. */
async function judgeTrimming({ data, scale }: Run): Promise<boolean> {
  const until = Date.now() + briefRetentionMs + scale.rowsKeptMs + 2 * sweepSlackMs;
  for (;;) {
    const { entries } = await lookAtStore(data);
    const keptTopicId = firstTopicId(entries);
    const brief = entries.filter(({ topicId }) => topicId !== keptTopicId);
    const ended = brief.filter(({ entry }) => "end" in entry.segment).length;
    const blobs = (await filesBelow(blobFolders(data).archives)).length;
    const owned = entries.filter(({ entry }) => entry.segment.state === "archived").length;
    if ((ended === 0 && blobs === owned) || Date.now() > until) {
      return judge(
        `(c) ${briefRetentionMs / 1_000} s later ${ended} ended segments of that topic are left, and ${blobs} blobs of ${owned} archived segments`,
        ended === 0 && blobs === owned,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

function firstTopicId(entries: readonly StoredEntry[]): number {
  return Math.min(...entries.map(({ topicId }) => topicId));
}

/** (d) */
function judgeMemory(samples: Samples): boolean {
  const parts = [0.5, 0.9, 0.99].map(
    (share) => `p${share * 100} ${megabytes(samples.percentile(share))}`,
  );
  return judge(
    `(d) RssAnon of ${samples.values.length} samples, at most ${samples.longestGapMs.toFixed(0)} ms apart: ${parts.join(", ")}, ` +
      `max ${megabytes(samples.max)} MB, below ${megabytes(rssMaxBytes)}`,
    samples.max < rssMaxBytes,
  );
}

/** (e) */
async function judgeReplay({ data, server, book }: Run): Promise<boolean> {
  const { messages: read, pulls, seconds } = await replay(server.url, book, queues);
  say(
    `  ${read} messages replayed and checked by ${pulls} pulls in ${seconds.toFixed(1)} s: ${(read / seconds).toFixed(0)}/s`,
  );
  printViolations(book.violations);
  const { entries } = await lookAtStore(data);
  const topicId = firstTopicId(entries);
  const archivedEnds = Array.from({ length: queues }, (_, queue) =>
    Math.max(
      ...entries.flatMap(({ entry: { segment }, ...of }) =>
        of.topicId === topicId && of.queue === queue && segment.state === "archived"
          ? [segment.end]
          : [],
      ),
    ),
  );
  const files = join(blobFolders(data).archives, String(topicId));
  const bundle = await buildServer("ten-million-files", [], "scripts/ten-million/file-server.ts");
  const bare = await MeasuredProcess.start([bundle, files]);
  const slices = await compare([
    {
      name: "tasso",
      pid: server.pid,
      readers: topicReaders(server.url, book.topic, archivedEnds),
    },
    { name: "files", pid: bare.pid, readers: await fileReaders(bare.url(""), files, queues) },
  ]);
  await bare.stop();
  const ours = slices.get("tasso") ?? [];
  const theirs = slices.get("files") ?? [];
  printTable([...slices].map(([name, each]) => sliceRow(name, each)));
  const ratio = speedOf(ours) / speedOf(theirs);
  return [
    judge(
      "every message is there, once, where it was acknowledged",
      book.violations.length === 0 && read === book.messages,
    ),
    judge(
      `(e) replay at ${ratio.toFixed(2)} of the bare server, at least ${replayRatioMin}`,
      ratio >= replayRatioMin,
    ),
  ].every(Boolean);
}

function sliceRow(name: string, slices: readonly Slice[]) {
  const speeds = slices.map(({ bytesPerSecond }) => bytesPerSecond);
  const cpu = median(slices.map(({ cpuSecondsPerGigabyte }) => cpuSecondsPerGigabyte));
  return {
    server: name,
    slices: slices.length,
    "MB/s": megabytes(speedOf(slices)),
    lowest: megabytes(Math.min(...speeds)),
    highest: megabytes(Math.max(...speeds)),
    "CPU s a GB": cpu.toFixed(2),
  };
}

function speedOf(slices: readonly Slice[]): number {
  return median(slices.map(({ bytesPerSecond }) => bytesPerSecond));
}

function megabytes(bytes: number): string {
  return (bytes / MB).toFixed(bytes < 10 * MB ? 1 : 0);
}

async function real(): Promise<boolean> {
  const scale = scaleOf(messages);
  say(
    `the server as it is, with segments of ${megabytes(scale.segmentBytes)} MB and rows kept for ${scale.rowsKeptMs / 1_000} s`,
  );
  return withServer("plain", { patches: [], scale }, async (run) => {
    const memory = new Samples(rssEveryMs, () => anonymousBytesOf(run.server.pid));
    const shown = await loadAndSettle(run);
    const verdicts = [
      shown.bounded,
      await loadAgain(run, shown, "dropped rows"),
      judgeSeek(await seek(run.server.url, run.book, seekOptions)),
      await judgeReplay(run),
      await judgeTrimming(run),
      await loadAgain(run, shown, "trimmed segments"),
    ];
    memory.stop();
    return [...verdicts, judgeMemory(memory)].every(Boolean);
  });
}

const seekOptions = { queues, pulls: seekPulls, random };

/** `shows` answers whether all was well. */
async function control(
  bug: string,
  patches: readonly Patch[],
  shows: (run: Run) => Promise<boolean>,
): Promise<boolean> {
  say(`control: ${bug}`);
  const scale = scaleOf(controlMessages);
  return judge("is noticed", !(await withServer("control", { patches, scale }, shows)));
}

const rowsStay: Patch = {
  file: "src/broker/log/segment-work.ts",
  find: "return dropRows(io, work);",
  replace: "return done;",
};
const nothingRemembered: Patch = {
  file: "src/broker/log/segment-directory.ts",
  find: "return entry !== undefined && io.clock.now() - entry.readAt < limits.directoryAgeMsMax;",
  replace: "return false;",
};
const indexFromBlob: Patch = {
  file: "src/broker/log/archived-rows.ts",
  find: "const piece = await",
  replace: `await io.blobs.get(archiveKey(queue, { base, part }), { start: 0, length: 65_536 });
    const piece = await`,
};

async function controls(): Promise<boolean> {
  const seekShows = async (run: Run) => {
    await load(run.server.url, run.book, { queues, producers, random });
    await settled(run.data, run.scale);
    return judgeSeek(await seek(run.server.url, run.book, seekOptions));
  };
  // Both have to notice it.
  const rowsOrFileShow = async (run: Run) => {
    const shown = await loadAndSettle(run);
    const reused = await loadAgain(run, shown, "rows that stayed");
    return shown.bounded || reused;
  };
  return [
    await control("rows are never dropped", [rowsStay], rowsOrFileShow),
    await control("the directory is not remembered", [nothingRemembered], seekShows),
    await control("the index of a blob is read from the blob", [indexFromBlob], seekShows),
  ].every(Boolean);
}

const passed = controlOnly || (await real());
const caught = await controls();
finish(passed && caught);
