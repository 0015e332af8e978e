// Asks llama.cpp, by its prebuilt library in the npm package node-llama-cpp, what GGUF files compute. Reads a JSON list of questions from
// the file that is named first and writes the list of answers to the second. NODE_LLAMA_CPP is the path of the package's dist/index.js.
//   {kind: "logprobs", model, rows: [[ids]], lora?, scale?}  for each row and position the natural logarithms of all tokens' probabilities
//   {kind: "greedy", model, rows: [[ids]], count, stops?, lora?}  the ids that follow each row; with stops up to an end of the answer
//   {kind: "tokens", model, texts}                           ids of each text, special tokens recognised
//   {kind: "meta", model}                                    the metadata
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const { getLlama } = await import(pathToFileURL(process.env.NODE_LLAMA_CPP));
const [questions, answers] = process.argv.slice(2);
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error', maxThreads: 1 });

async function sequence(model, question, size) {
  const exact = { flashAttention: false, experimentalKvCacheKeyType: 'F32', experimentalKvCacheValueType: 'F32' };
  const lora = question.lora ? { lora: { adapters: [{ filePath: path.resolve(question.lora), scale: question.scale ?? 1 }] } } : {};
  const context = await model.createContext({ contextSize: Math.max(64, size), sequences: 1, batchSize: 64, ...exact, ...lora });
  return { context, sequence: context.getSequence() };
}

async function logprobs(model, question) {
  const { context, sequence: seq } = await sequence(model, question, 8 + Math.max(...question.rows.map(row => row.length)));
  const answer = [];
  for (const row of question.rows) {
    await seq.clearHistory();
    const next = { probabilities: true, token: true, options: { temperature: 0 } };
    const out = await seq.controlledEvaluate(row.map(id => [id, { generateNext: next }]));
    answer.push(out.map(at => {
      const dense = [];
      for (const [id, p] of at.next.probabilities) dense[id] = Math.log(p);
      return dense;
    }));
  }
  await context.dispose();
  return answer;
}

async function greedy(model, question) {
  const longest = Math.max(...question.rows.map(row => row.length));
  const { context, sequence: seq } = await sequence(model, question, 8 + question.count + longest);
  const answer = [];
  for (const row of question.rows) {
    await seq.clearHistory();
    const ids = [];
    for await (const id of seq.evaluate(row, { temperature: 0, yieldEogToken: !question.stops })) {
      ids.push(id);
      if (ids.length >= question.count) break;
    }
    answer.push(ids);
  }
  await context.dispose();
  return answer;
}

const out = [];
for (const question of JSON.parse(fs.readFileSync(questions, 'utf8'))) {
  const vocabOnly = question.kind === 'tokens' || question.kind === 'meta';
  const model = await llama.loadModel({ modelPath: path.resolve(question.model), useMmap: false, vocabOnly });
  if (question.kind === 'logprobs') out.push(await logprobs(model, question));
  else if (question.kind === 'greedy') out.push(await greedy(model, question));
  else if (question.kind === 'tokens') out.push(question.texts.map(text => model.tokenize(text, true)));
  else if (question.kind === 'meta') out.push(model.fileInfo.metadata);
  else throw new Error('unknown question ' + question.kind);
  await model.dispose();
}
fs.writeFileSync(answers, JSON.stringify(out, (key, value) => typeof value === 'bigint' ? Number(value) : value));
process.exit(0);
