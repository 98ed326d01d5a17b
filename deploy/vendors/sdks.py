"""The vendors' own Python SDKs against `retort sim`: do they understand it?"""

import datetime
import importlib.metadata
import sys

import anthropic
import boto3
import botocore.config
import botocore.exceptions
import cohere
import google.genai
import ollama
import openai
from google.genai import errors as google_errors
from google.genai import types as google_types

from common import COLD, PROMPT, SYSTEM, Table, raises, same, served

KEY = "sk-right"
FLEET = {
    "seed": 5,
    "providers": [
        {
            "name": "alpha",
            "api_keys": [KEY],
            "signing_keys": {"AKIDEXAMPLE": "wJalrXUtnFEMI-example"},
            "limits": {"requests_per_minute": 60000, "announce": "openai"},
            "faults": [
                {"kind": "status", "status": 429, "retry_after_seconds": 7, "models": ["busy"]},
                {"kind": "error_in_stream", "models": ["breaks"]},
            ],
            "models": [
                {"name": "plain"},
                {"name": "thinker", "reasoning_words": 12},
                {"name": "busy"},
                {"name": "breaks"},
            ],
        }
    ],
}
table = Table()
# What the first SDK got, which every other one must get too.
seen = {}


def equal(name, text):
    """Checks that a text is the same through every protocol."""
    assert text, "no text"
    return f"{len(same(text, seen.setdefault(name, text)))} characters"


def positive(*counts):
    assert all(isinstance(count, int) and count > 0 for count in counts), counts
    return counts


def try_openai(root):
    make = lambda key: openai.OpenAI(base_url=f"{root}/v1", api_key=key, max_retries=0)
    client = make(KEY)
    messages = [{"role": "user", "content": PROMPT}]

    def chat(**fields):
        fields = {"model": "plain", "messages": messages, "temperature": COLD} | fields
        return client.chat.completions.create(**fields)

    def whole():
        answer = chat()
        positive(answer.usage.prompt_tokens, answer.usage.completion_tokens)
        same(answer.choices[0].finish_reason, "stop")
        return equal("plain", answer.choices[0].message.content)

    def stream():
        chunks = list(chat(stream=True, stream_options={"include_usage": True}))
        positive(chunks[-1].usage.completion_tokens)
        deltas = [c.choices[0].delta.content or "" for c in chunks if c.choices]
        return equal("plain", "".join(deltas))

    def system():
        answer = chat(messages=[{"role": "system", "content": SYSTEM}, *messages])
        return equal("system", answer.choices[0].message.content)

    def seeds():
        texts = [chat(seed=7, temperature=1).choices[0].message.content for _ in range(2)]
        same(*texts)
        return equal("seeded", texts[0])

    def logprobs():
        choice = chat(logprobs=True, top_logprobs=3).choices[0]
        entries = choice.logprobs.content
        same("".join(entry.token for entry in entries), choice.message.content)
        same({len(entry.top_logprobs) for entry in entries}, {3})
        return f"{len(entries)} entries"

    who = "openai chat"
    table.attempt(who, "chat", whole)
    table.attempt(who, "stream", stream)
    table.attempt(who, "system", system)
    table.attempt(who, "seed", seeds)
    table.attempt(who, "logprobs", logprobs)
    table.attempt(who, "reasoning", lambda: positive(
        chat(model="thinker").usage.completion_tokens_details.reasoning_tokens))
    table.attempt(who, "wrong key", lambda: raises(
        openai.AuthenticationError, lambda: make("no").chat.completions.create(model="plain", messages=messages),
        lambda error: same(error.code, "invalid_api_key")))
    table.attempt(who, "no such model", lambda: raises(openai.NotFoundError, lambda: chat(model="nobody")))
    table.attempt(who, "unknown field", lambda: raises(
        openai.BadRequestError, lambda: chat(extra_body={"max_token": 3})))
    table.attempt(who, "429", lambda: raises(
        openai.RateLimitError, lambda: chat(model="busy"),
        lambda error: same(error.response.headers["retry-after"], "7")))
    table.attempt(who, "error in stream", lambda: raises(
        openai.APIError, lambda: list(chat(model="breaks", stream=True))))

    def completion():
        fields = {"model": "plain", "prompt": "Once upon a time", "temperature": COLD, "max_tokens": 9}
        answer = client.completions.create(logprobs=2, **fields)
        positive(answer.usage.completion_tokens)
        same(len(answer.choices[0].logprobs.tokens), 9)
        chunks = client.completions.create(stream=True, **fields)
        same("".join(chunk.choices[0].text for chunk in chunks), answer.choices[0].text)
        return equal("raw", answer.choices[0].text)

    table.attempt("openai completions", "plain and stream", completion)
    try_responses(client, make)


def try_responses(client, make):
    def ask(**fields):
        fields = {"model": "plain", "input": PROMPT, "temperature": COLD, "store": False} | fields
        return client.responses.create(**fields)

    def whole():
        answer = ask()
        positive(answer.usage.input_tokens, answer.usage.output_tokens)
        same(answer.status, "completed")
        return equal("plain", answer.output_text)

    def stream():
        events = list(ask(stream=True))
        same([event.sequence_number for event in events], list(range(len(events))))
        deltas = "".join(e.delta for e in events if e.type == "response.output_text.delta")
        same(deltas, events[-1].response.output_text)
        return equal("plain", deltas)

    def logprobs():
        answer = ask(top_logprobs=2, include=["message.output_text.logprobs"])
        part = answer.output[0].content[0]
        same("".join(entry.token for entry in part.logprobs), part.text)
        return f"{len(part.logprobs)} entries"

    def reasoning():
        answer = ask(model="thinker", reasoning={"summary": "auto"})
        same([item.type for item in answer.output], ["reasoning", "message"])
        positive(answer.usage.output_tokens_details.reasoning_tokens)
        return equal("thoughts", answer.output[0].summary[0].text)

    def failed():
        *_, told, end = ask(model="breaks", stream=True)
        same((told.type, end.type, end.response.status), ("error", "response.failed", "failed"))
        return type(told).__name__

    def cut():
        answer = ask(max_output_tokens=5)
        same(answer.status, "incomplete")
        return same(answer.incomplete_details.reason, "max_output_tokens")

    who = "openai responses"
    table.attempt(who, "plain", whole)
    table.attempt(who, "stream", stream)
    table.attempt(who, "system", lambda: equal("system", ask(instructions=SYSTEM).output_text))
    table.attempt(who, "logprobs", logprobs)
    table.attempt(who, "reasoning", reasoning)
    table.attempt(who, "token limit", cut)
    table.attempt(who, "wrong key", lambda: raises(
        openai.AuthenticationError, lambda: make("no").responses.create(model="plain", input=PROMPT)))
    table.attempt(who, "no such model", lambda: raises(
        openai.BadRequestError, lambda: ask(model="nobody"), lambda e: same(e.code, "model_not_found")))
    table.attempt(who, "unknown field", lambda: raises(
        openai.BadRequestError, lambda: ask(extra_body={"seed": 3}), lambda e: same(e.code, "unknown_parameter")))
    table.attempt(who, "429", lambda: raises(openai.RateLimitError, lambda: ask(model="busy")))
    table.attempt(who, "error in stream", failed)


def try_anthropic(root):
    make = lambda key: anthropic.Anthropic(base_url=root, api_key=key, max_retries=0)
    client = make(KEY)
    messages = [{"role": "user", "content": PROMPT}]

    def ask(client=client, **fields):
        fields = {"model": "plain", "messages": messages, "max_tokens": 4000,
                  "extra_body": {"temperature": COLD}} | fields
        return client.messages.create(**fields)

    def whole():
        answer = ask()
        positive(answer.usage.input_tokens, answer.usage.output_tokens)
        same(answer.stop_reason, "end_turn")
        return equal("plain", answer.content[0].text)

    def stream():
        fields = {"model": "plain", "messages": messages, "max_tokens": 4000}
        with client.messages.stream(extra_body={"temperature": COLD}, **fields) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        positive(final.usage.input_tokens, final.usage.output_tokens)
        same(final.content[0].text, text)
        return equal("plain", text)

    def reasoning():
        answer = ask(model="thinker", thinking={"type": "enabled", "budget_tokens": 1024})
        same([block.type for block in answer.content], ["thinking", "text"])
        positive(answer.usage.output_tokens_details.thinking_tokens)
        return equal("thoughts", answer.content[0].thinking)

    def stopped():
        answer = ask(stop_sequences=["."])
        same(answer.stop_reason, "stop_sequence")
        return same(answer.stop_sequence, ".")

    who = "anthropic"
    table.attempt(who, "plain", whole)
    table.attempt(who, "stream", stream)
    table.attempt(who, "system", lambda: equal("system", ask(system=SYSTEM).content[0].text))
    table.attempt(who, "reasoning", reasoning)
    table.attempt(who, "stop text", stopped)
    table.attempt(who, "token limit", lambda: same(ask(max_tokens=5).stop_reason, "max_tokens"))
    table.attempt(who, "wrong key", lambda: raises(anthropic.AuthenticationError, lambda: ask(make("no"))))
    table.attempt(who, "no such model", lambda: raises(anthropic.NotFoundError, lambda: ask(model="nobody")))
    table.attempt(who, "unknown field", lambda: raises(
        anthropic.BadRequestError, lambda: ask(extra_body={"seed": 3})))
    table.attempt(who, "429", lambda: raises(
        anthropic.RateLimitError, lambda: ask(model="busy"),
        lambda error: same(error.response.headers["retry-after"], "7")))
    table.attempt(who, "error in stream", lambda: raises(
        anthropic.APIStatusError, lambda: list(ask(model="breaks", stream=True))))


def try_google(root):
    def make(key):
        options = google_types.HttpOptions(base_url=root)
        return google.genai.Client(api_key=key, http_options=options)

    client = make(KEY)

    def ask(model="plain", client=client, **config):
        config = google_types.GenerateContentConfig(**({"temperature": COLD} | config))
        return client.models.generate_content(model=model, contents=PROMPT, config=config)

    def stream_of(model):
        config = google_types.GenerateContentConfig(temperature=COLD)
        return list(client.models.generate_content_stream(model=model, contents=PROMPT, config=config))

    def whole():
        answer = ask()
        usage = answer.usage_metadata
        positive(usage.prompt_token_count, usage.candidates_token_count)
        same(answer.candidates[0].finish_reason, google_types.FinishReason.STOP)
        return equal("plain", answer.text)

    def stream():
        chunks = stream_of("plain")
        positive(chunks[-1].usage_metadata.candidates_token_count)
        return equal("plain", "".join(chunk.text or "" for chunk in chunks))

    def seeds():
        texts = [ask(seed=7, temperature=1).text for _ in range(2)]
        same(*texts)
        return equal("seeded", texts[0])

    def logprobs():
        candidate = ask(response_logprobs=True, logprobs=2).candidates[0]
        entries = candidate.logprobs_result.chosen_candidates
        same("".join(entry.token for entry in entries), candidate.content.parts[0].text)
        same({len(top.candidates) for top in candidate.logprobs_result.top_candidates}, {2})
        return f"{len(entries)} entries"

    def reasoning():
        config = google_types.ThinkingConfig(include_thoughts=True)
        answer = ask("thinker", thinking_config=config)
        positive(answer.usage_metadata.thoughts_token_count)
        parts = answer.candidates[0].content.parts
        same([bool(part.thought) for part in parts], [True, False])
        return equal("thoughts", parts[0].text)

    code = lambda wanted: lambda error: same(error.code, wanted)
    who = "google-genai"
    table.attempt(who, "plain", whole)
    table.attempt(who, "stream", stream)
    table.attempt(who, "system", lambda: equal("system", ask(system_instruction=SYSTEM).text))
    table.attempt(who, "seed", seeds)
    table.attempt(who, "logprobs", logprobs)
    table.attempt(who, "reasoning", reasoning)
    table.attempt(who, "token limit", lambda: same(
        ask(max_output_tokens=5).candidates[0].finish_reason, google_types.FinishReason.MAX_TOKENS))
    table.attempt(who, "wrong key", lambda: raises(
        google_errors.ClientError, lambda: ask(client=make("no")), code(400)))
    table.attempt(who, "no such model", lambda: raises(
        google_errors.ClientError, lambda: ask("nobody"), code(404)))
    table.attempt(who, "429", lambda: raises(google_errors.ClientError, lambda: ask("busy"), code(429)))
    table.attempt(who, "error in stream", lambda: raises(
        google_errors.APIError, lambda: stream_of("breaks"), code(500)))


def try_bedrock(root):
    def make(secret):
        config = botocore.config.Config(retries={"total_max_attempts": 1}, region_name="us-east-1")
        return boto3.client("bedrock-runtime", endpoint_url=root, config=config,
                            aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key=secret)

    client = make("wJalrXUtnFEMI-example")

    def fields(model="plain", most=None, **more):
        config = {"temperature": COLD} | ({"maxTokens": most} if most else {})
        messages = [{"role": "user", "content": [{"text": PROMPT}]}]
        return {"modelId": model, "messages": messages, "inferenceConfig": config} | more

    text_of = lambda answer: answer["output"]["message"]["content"][-1]["text"]

    def whole():
        answer = client.converse(**fields())
        positive(answer["usage"]["inputTokens"], answer["usage"]["outputTokens"])
        same(answer["stopReason"], "end_turn")
        return equal("plain", text_of(answer))

    def stream():
        events = list(client.converse_stream(**fields())["stream"])
        names = [next(iter(event)) for event in events]
        same((names[0], names[-2:]), ("messageStart", ["messageStop", "metadata"]))
        positive(events[-1]["metadata"]["usage"]["outputTokens"])
        deltas = [e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e]
        return equal("plain", "".join(deltas))

    def reasoning():
        content = client.converse(**fields("thinker"))["output"]["message"]["content"]
        return equal("thoughts", content[0]["reasoningContent"]["reasoningText"]["text"])

    code = lambda wanted: lambda error: same(error.response["Error"]["Code"], wanted)
    failure = botocore.exceptions.ClientError
    who = "boto3 bedrock (SigV4)"
    table.attempt(who, "plain", whole)
    table.attempt(who, "stream", stream)
    table.attempt(who, "system", lambda: equal("system", text_of(client.converse(**fields(system=[{"text": SYSTEM}])))))
    table.attempt(who, "reasoning", reasoning)
    table.attempt(who, "token limit", lambda: same(client.converse(**fields(most=5))["stopReason"], "max_tokens"))
    table.attempt(who, "wrong secret", lambda: raises(
        failure, lambda: make("wrong").converse(**fields()), code("InvalidSignatureException")))
    table.attempt(who, "no such model", lambda: raises(
        failure, lambda: client.converse(**fields("nobody:0")), code("ValidationException")))
    table.attempt(who, "429", lambda: raises(
        client.exceptions.ThrottlingException, lambda: client.converse(**fields("busy"))))
    table.attempt(who, "error in stream", lambda: raises(
        botocore.exceptions.EventStreamError,
        lambda: list(client.converse_stream(**fields("breaks"))["stream"])))


def try_cohere(root):
    make = lambda key: cohere.ClientV2(api_key=key, base_url=root)
    client = make(KEY)
    options = {"max_retries": 0}

    def ask(client=client, system=None, **fields):
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": PROMPT})
        fields = {"model": "plain", "messages": messages, "temperature": COLD} | fields
        return client.chat(request_options=options, **fields)

    def stream_of(model):
        messages = [{"role": "user", "content": PROMPT}]
        return list(client.chat_stream(model=model, messages=messages, temperature=COLD, request_options=options))

    def whole():
        answer = ask()
        positive(int(answer.usage.tokens.input_tokens), int(answer.usage.tokens.output_tokens))
        same(answer.finish_reason, "COMPLETE")
        return equal("plain", answer.message.content[0].text)

    def stream():
        events = stream_of("plain")
        same((events[0].type, events[-1].type), ("message-start", "message-end"))
        positive(int(events[-1].delta.usage.tokens.output_tokens))
        deltas = [event.delta.message.content.text for event in events if event.type == "content-delta"]
        return equal("plain", "".join(deltas))

    def seeds():
        texts = [ask(seed=7, temperature=1.0).message.content[0].text for _ in range(2)]
        same(*texts)
        return equal("seeded", texts[0])

    def logprobs():
        answer = ask(logprobs=True)
        same("".join(entry.text for entry in answer.logprobs), answer.message.content[0].text)
        return f"{len(answer.logprobs)} entries"

    def reasoning():
        content = ask(model="thinker").message.content
        same([part.type for part in content], ["thinking", "text"])
        return equal("thoughts", content[0].thinking)

    who = "cohere"
    table.attempt(who, "plain", whole)
    table.attempt(who, "stream", stream)
    table.attempt(who, "system", lambda: equal("system", ask(system=SYSTEM).message.content[0].text))
    table.attempt(who, "seed", seeds)
    table.attempt(who, "logprobs", logprobs)
    table.attempt(who, "reasoning", reasoning)
    table.attempt(who, "token limit", lambda: same(ask(max_tokens=5).finish_reason, "MAX_TOKENS"))
    table.attempt(who, "wrong key", lambda: raises(cohere.UnauthorizedError, lambda: ask(make("no"))))
    table.attempt(who, "no such model", lambda: raises(cohere.NotFoundError, lambda: ask(model="nobody")))
    table.attempt(who, "429", lambda: raises(
        cohere.TooManyRequestsError, lambda: ask(model="busy"),
        lambda error: same(error.headers["retry-after"], "7")))
    table.attempt(who, "error in stream", lambda: same(stream_of("breaks")[-1].delta.finish_reason, "ERROR"))


def try_ollama(root):
    make = lambda key: ollama.Client(host=root, headers={"authorization": f"Bearer {key}"})
    client = make(KEY)

    def ask(client=client, system=None, options=None, **fields):
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": PROMPT})
        options = {"temperature": COLD} | (options or {})
        return client.chat(**({"model": "plain", "messages": messages, "options": options} | fields))

    def whole():
        answer = ask()
        positive(answer.prompt_eval_count, answer.eval_count)
        same(answer.done_reason, "stop")
        return equal("plain", answer.message.content)

    def stream():
        lines = list(ask(stream=True))
        positive(lines[-1].eval_count)
        return equal("plain", "".join(line.message.content for line in lines))

    def seeds():
        texts = [ask(options={"seed": 7, "temperature": 1}).message.content for _ in range(2)]
        same(*texts)
        return equal("seeded", texts[0])

    def logprobs():
        answer = ask(logprobs=True, top_logprobs=2)
        same("".join(entry.token for entry in answer.logprobs), answer.message.content)
        return f"{len(answer.logprobs)} entries"

    def raw():
        options = {"temperature": COLD, "num_predict": 9}
        answer = client.generate(model="plain", prompt="Once upon a time", raw=True, options=options)
        positive(answer.eval_count)
        return equal("raw", answer.response)

    status = lambda wanted: lambda error: same(error.status_code, wanted)
    who = "ollama"
    table.attempt(who, "chat", whole)
    table.attempt(who, "stream", stream)
    table.attempt(who, "system", lambda: equal("system", ask(system=SYSTEM).message.content))
    table.attempt(who, "seed", seeds)
    table.attempt(who, "logprobs", logprobs)
    table.attempt(who, "generate raw", raw)
    table.attempt(who, "reasoning", lambda: equal("thoughts", ask(model="thinker", think=True).message.thinking))
    table.attempt(who, "token limit", lambda: same(ask(options={"num_predict": 5}).done_reason, "length"))
    table.attempt(who, "tags", lambda: same(len(client.list().models), 4))
    table.attempt(who, "wrong key", lambda: raises(ollama.ResponseError, lambda: ask(make("no")), status(401)))
    table.attempt(who, "no such model", lambda: raises(
        ollama.ResponseError, lambda: ask(model="nobody"), status(404)))
    table.attempt(who, "429", lambda: raises(ollama.ResponseError, lambda: ask(model="busy"), status(429)))
    table.attempt(who, "error in stream", lambda: raises(
        ollama.ResponseError, lambda: list(ask(model="breaks", stream=True))))


def main():
    print(f"vendors' SDKs against retort sim, {datetime.date.today()}")
    for package in ("openai", "anthropic", "google-genai", "cohere", "boto3", "ollama"):
        print(f"  {package} {importlib.metadata.version(package)}")
    with served(sys.argv[1], FLEET) as url:
        root = f"{url}/p/alpha"
        for trial in (try_openai, try_anthropic, try_google, try_bedrock, try_cohere, try_ollama):
            trial(root)
    return table.finish()


if __name__ == "__main__":
    sys.exit(main())
