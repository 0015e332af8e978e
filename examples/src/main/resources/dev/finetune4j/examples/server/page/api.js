// The server's HTTP API, as OpenAI has it, and its mistakes in words.
import { t } from './text.js';

/** Something that went wrong; kind is key, forbidden, busy, unavailable, model, long, request, server, stream, foreign, lost or noServer. */
export class ApiError extends Error {
  constructor(kind, said, seconds) {
    super(kind);
    this.kind = kind;
    this.said = said;
    this.seconds = seconds;
  }
}

const WORDS = {
  key: 'errorKey', forbidden: 'errorForbidden', busy: 'errorBusy', unavailable: 'errorUnavailable', model: 'errorModel', long: 'errorLong', request: 'errorRequest',
  server: 'errorServer', stream: 'errorStream', foreign: 'errorForeign', lost: 'errorLost', noServer: 'errorNoServer',
};

/** An error for people; the server's own words follow where they say more. */
export function words(error) {
  const told = ['unavailable', 'long', 'request', 'server', 'stream', 'forbidden'].includes(error.kind) && error.said;
  return told ? t(WORDS[error.kind]) + ' ' + error.said : t(WORDS[error.kind]).replace(/[:：]$/, '.');
}

const STORED_KEY = 'finetune4j.key';

export function apiKey() {
  return sessionStorage.getItem(STORED_KEY) ?? '';
}

export function setApiKey(key) {
  sessionStorage.setItem(STORED_KEY, key.trim());
}

async function request(path, options = {}) {
  const headers = { ...options.headers };
  if (apiKey()) {
    headers.authorization = 'Bearer ' + apiKey();
  }
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: 'no-store' });
  } catch (e) {
    if (e.name === 'AbortError') {
      throw e;
    }
    throw new ApiError('noServer');
  }
  if (!response.ok) {
    throw await refusal(response);
  }
  return response;
}

async function refusal(response) {
  const text = await response.text().catch(() => '');
  let error = {};
  try {
    error = JSON.parse(text).error ?? {};
  } catch {
    // not every refusal has a body of JSON: those of a proxy do not
  }
  const seconds = Number(response.headers.get('retry-after')) || 0;
  return new ApiError(kindOf(response.status, error), error.message ?? `HTTP ${response.status}`, seconds);
}

function kindOf(status, error) {
  if (error.code === 'context_length_exceeded') {
    return 'long';
  }
  switch (status) {
    case 401: return 'key';
    case 403: return 'forbidden';
    case 404: return error.code === 'model_not_found' ? 'model' : 'request';
    case 429: return 'busy';
    case 503: return 'unavailable';
    default: return status >= 500 ? 'server' : 'request';
  }
}

async function json(path) {
  const response = await request(path);
  try {
    return await response.json();
  } catch {
    throw new ApiError('foreign');
  }
}

/** The models by name: {id, parent}, where an adapter's parent is its base. */
export async function models() {
  const list = (await json('v1/models')).data ?? [];
  return list.map(model => ({ id: model.id, parent: model.parent ?? null }));
}

/** The fields of each event of a stream of server-sent events; comments and events without data are passed over. */
export async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  let data = [];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) {
      return;
    }
    const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith('data:')) {
        data.push(line.slice(line[5] === ' ' ? 6 : 5));
      } else if (line === '' && data.length > 0) {
        yield data.join('\n');
        data = [];
      }
    }
  }
}

/**
 * Asks for an answer and hands over its pieces {content?, reasoning_content?} as they come.
 * Returns {finish, usage}; an answer that ends without a reason counts as a lost connection.
 */
export async function answer(body, signal, piece) {
  const response = await request('v1/chat/completions', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  const result = { finish: null, usage: null };
  try {
    for await (const data of events(response.body)) {
      if (data === '[DONE]') {
        break;
      }
      take(data, result, piece);
    }
  } catch (e) {
    if (e.name === 'AbortError' || e instanceof ApiError) {
      throw e;
    }
    throw new ApiError('lost');
  }
  if (result.finish === null) {
    throw new ApiError('lost');
  }
  return result;
}

function take(data, result, piece) {
  let chunk;
  try {
    chunk = JSON.parse(data);
  } catch {
    throw new ApiError('foreign');
  }
  if (chunk.error) {
    throw new ApiError('stream', chunk.error.message);
  }
  const choice = chunk.choices?.[0];
  if (choice?.delta) {
    piece(choice.delta);
  }
  result.finish = choice?.finish_reason ?? result.finish;
  result.usage = chunk.usage ?? result.usage;
}

/** Stops a training that was asked for by a request. */
export function stopTraining(id) {
  return request(`v1/training/jobs/${encodeURIComponent(id)}/stop`, { method: 'POST' });
}

/**
 * The training runs that the server shows, the newest first: {id, modified, status?, error?}, with the time in seconds since 1970.
 * Those that the server trains itself have a status of running, succeeded, stopped or failed.
 */
export async function runs() {
  return (await json('v1/training/runs')).data ?? [];
}

/** What a run's trainer_log.jsonl has from an offset on: {lines, next}. */
export function log(id, from) {
  return json(`v1/training/log?run=${encodeURIComponent(id)}&from=${from}`);
}
