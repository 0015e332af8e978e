// What OpenAI's own client for JavaScript makes of the server: node openai_client.mjs CLIENT_FOLDER ADDRESS; prints one JSON object.
import { pathToFileURL } from 'node:url';

const { default: OpenAI } = await import(pathToFileURL(process.argv[2] + '/node_modules/openai/index.mjs'));
const client = new OpenAI({ baseURL: process.argv[3] + '/v1', apiKey: 'key-of-the-test' });
const out = {};
const ask = (content, more = {}) => ({ model: 'base', messages: [{ role: 'user', content }], ...more });
const failure = async work => {
  try {
    await work();
    return 'none';
  } catch (e) {
    return [e.constructor.name, e.status ?? null, e.code ?? null, e.param ?? null, Boolean(e.requestID)].join(' ');
  }
};
const tools = [{ type: 'function', function: { name: 'get_weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } } }];

out.models = (await client.models.list()).data.map(m => m.id);
out.model = (await client.models.retrieve('org/tuned')).id;
const whole = await client.chat.completions.create(ask('hello'));
out.chat = whole.choices[0].message.content + ' ' + whole.choices[0].finish_reason + ' ' + whole.usage.total_tokens;
let text = '';
for await (const chunk of await client.chat.completions.create(ask('hello', { stream: true }))) {
  text += chunk.choices[0]?.delta?.content ?? '';
}
out.stream = text;
const helper = client.chat.completions.stream(ask('hello', { stream_options: { include_usage: true } }));
const final = await helper.finalChatCompletion();
out.helper = final.choices[0].message.content + ' ' + final.usage.total_tokens;
const call = (await client.chat.completions.create(ask('weather', { tools }))).choices[0];
out.tools = call.finish_reason + ' ' + call.message.tool_calls[0].function.name + ' ' + call.message.tool_calls[0].function.arguments;
const streamed = (await client.chat.completions.stream(ask('weather', { tools })).finalChatCompletion()).choices[0];
out.toolsStream = streamed.finish_reason + ' ' + streamed.message.tool_calls[0].function.name + ' ' + streamed.message.tool_calls[0].function.arguments;
const runner = client.chat.completions.runTools({
  model: 'base',
  messages: [{ role: 'user', content: 'weather' }],
  tools: [{ type: 'function', function: { name: 'get_weather', parse: JSON.parse, parameters: tools[0].function.parameters, function: ({ city }) => '18 degrees in ' + city } }],
});
out.runTools = await runner.finalContent();
out.unknown = await failure(() => client.chat.completions.create({ ...ask('hello'), model: 'other' }));
out.wrong = await failure(() => client.chat.completions.create(ask('hello', { max_tokens: 'many' })));
out.key = await failure(() => new OpenAI({ baseURL: process.argv[3] + '/v1', apiKey: 'wrong' }).models.list());
out.midstream = await failure(async () => {
  for await (const chunk of await client.chat.completions.create(ask('boom', { stream: true }))) {
    text = chunk.choices[0].delta.content ?? text;
  }
});
out.halfBefore = text;
out.whole = await failure(() => client.chat.completions.create(ask('boom')));
out.retried = (await client.chat.completions.create(ask('busy'))).choices[0].message.content;
out.busy = await failure(() => client.chat.completions.create(ask('busy'), { maxRetries: 0 }));
out.completion = (await client.completions.create({ model: 'base', prompt: 'once' })).choices[0].text;
const gone = await client.chat.completions.create(ask('endless', { stream: true }));
for await (const chunk of gone) {
  if (chunk.choices[0].delta.content) {
    break;
  }
}
console.log(JSON.stringify(out));
