"""What OpenAI's own client for Python makes of the server: python openai_client.py ADDRESS; prints one JSON object."""
import json
import sys

import openai

base = sys.argv[1] + "/v1"
client = openai.OpenAI(base_url=base, api_key="key-of-the-test")
tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]
out = {}


def ask(content, **more):
    return client.chat.completions.create(model="base", messages=[{"role": "user", "content": content}], **more)


def failure(work):
    try:
        work()
        return "none"
    except openai.APIError as e:
        return " ".join(str(x) for x in [type(e).__name__, getattr(e, "status_code", None), e.code, e.param])


out["models"] = [m.id for m in client.models.list()]
out["model"] = client.models.retrieve("org/tuned").id
whole = ask("hello")
out["chat"] = f"{whole.choices[0].message.content} {whole.choices[0].finish_reason} {whole.usage.total_tokens}"
out["stream"] = "".join(c.choices[0].delta.content or "" for c in ask("hello", stream=True))
with client.chat.completions.stream(model="base", messages=[{"role": "user", "content": "hello"}], stream_options={"include_usage": True}) as stream:
    final = stream.get_final_completion()
out["helper"] = f"{final.choices[0].message.content} {final.usage.total_tokens}"
call = ask("weather", tools=tools).choices[0]
out["tools"] = f"{call.finish_reason} {call.message.tool_calls[0].function.name} {call.message.tool_calls[0].function.arguments}"
answer = client.chat.completions.create(
    model="base",
    messages=[
        {"role": "user", "content": "weather"},
        call.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.message.tool_calls[0].id, "content": "18 degrees in Paris"},
    ],
    tools=tools,
)
out["runTools"] = answer.choices[0].message.content
out["unknown"] = failure(lambda: client.chat.completions.create(model="other", messages=[{"role": "user", "content": "a"}]))
out["wrong"] = failure(lambda: ask("hello", max_tokens="many"))
out["key"] = failure(lambda: openai.OpenAI(base_url=base, api_key="wrong").models.list())
out["midstream"] = failure(lambda: list(ask("boom", stream=True)))
out["whole"] = failure(lambda: ask("boom"))
out["retried"] = ask("busy").choices[0].message.content
out["busy"] = failure(lambda: client.with_options(max_retries=0).chat.completions.create(model="base", messages=[{"role": "user", "content": "busy"}]))
out["completion"] = client.completions.create(model="base", prompt="once").choices[0].text
print(json.dumps(out))
