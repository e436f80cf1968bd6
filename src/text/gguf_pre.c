// SPDX-License-Identifier: MIT OR Apache-2.0
/* gguf_pre.c - how the byte-level tokenizers of GGUF files cut texts into words.
 *
 * A file has a name in tokenizer.ggml.pre, and llama.cpp has the patterns
 * (src/llama-vocab.cpp).  Here they are as the tokenizer.json of each model has them, where
 * llama.cpp bends them for its own regular expressions. */
#include "text.h"

#define DIGITS_3     "\\p{N}{1,3}"
#define FROM_RIGHT   "\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))"
#define NO_SENTENCE  " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"
#define HAN_HANGUL   "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
#define UPPER_NO_HAN "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]"
#define LOWER_NO_HAN "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]"

static const wk_pre pres[] = {
    { "gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert mpt "
      "olmo jais trillion granite-docling exaone4 jina-v1-en jina-v2-code roberta-bpe",
      { WK_RE_GPT2 },
      0 },
    { "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
      { WK_RE_LLAMA3 },
      WK_PRE_WHOLE | WK_PRE_BOS },
    { "glm4 glm5", { WK_RE_LLAMA3 }, WK_PRE_WHOLE },
    { "chatglm-bpe dbrx smaug-bpe", { WK_RE_LLAMA3 }, 0 },
    { "qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2",
      { WK_RE_QWEN2 },
      0 },
    { "qwen35", { WK_RE_QWEN35 }, 0 },
    { "laguna", { WK_RE_ONE_LINE, WK_RE_QWEN2 }, 0 },
    { "ufakzeka", { WK_RE_UNCONTRACTED("") }, 0 },
    { "minicpm5", { DIGITS_3, WK_RE_CONTRACTED "|" WK_RE_UNCONTRACTED("+") }, WK_PRE_WHOLE },
    { "gpt-4o llama4 kanana2 talkie minimax-m2", { WK_RE_O200K }, 0 },
    { "granite-embed-multi-97m", { WK_RE_O200K }, WK_PRE_WHOLE },
    { "tekken", { WK_RE_TEKKEN }, WK_PRE_WHOLE | WK_PRE_BOS },
    { "tiny_aya cohere2moe", { "\\d{1,3}(?=(?:\\d{3})*\\b)", WK_RE_O200K }, 0 },
    { "deepseek-v3 hunyuan-dense joyai-llm hy_v4", { DIGITS_3, WK_RE_CJK, WK_RE_DEEPSEEK3 }, 0 },
    { "spark2_5",
      { DIGITS_3, WK_RE_CJK,
        WK_RE_ASCII_WORD
        "[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+|[\\r\\n]|" WK_RE_SPACES,
        "\\p{N}" },
      0 },
    { "afmoe",
      { FROM_RIGHT,
        "[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f"
        "\u2f00-\u2fdf\u0e40-\u0e7f\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f"
        "\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+",
        WK_RE_DEEPSEEK3 },
      0 },
    { "youtu",
      { "[\uac00-\ud7a3\u3131-\u318e]+|["
        "\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c"
        "\u3001-\u303f\ufe30-\ufe4f]+|[\u3105-\u312f]+|" WK_RE_CJK,
        WK_RE_CASED(WK_RE_CONTRACTED "?") "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" WK_RE_LINES },
      WK_PRE_WHOLE },
    { "kimi-k2",
      { "\\p{Han}+|" WK_RE_LEAD UPPER_NO_HAN "*" LOWER_NO_HAN "+" WK_RE_CONTRACTED
        "?|" WK_RE_LEAD         UPPER_NO_HAN "+" LOWER_NO_HAN "*" WK_RE_CONTRACTED
        "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" WK_RE_LINES },
      0 },
    { "bailingmoe bailingmoe2 llada-moe",
      { "'(?i:[sdmt]|ll|ve|re)|" WK_RE_LEAD
        "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]|" WK_RE_SPACES },
      0 },
    { "seed-coder",
      { WK_RE_CONTRACTED "|" WK_RE_LEAD
                         "\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" WK_RE_LINES },
      0 },
    { "exaone-moe",
      { WK_RE_CONTRACTED "|" WK_RE_LEAD
                         "(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+"
                         "[\\r\\n/]?|\\s*[\\r\\n]|" WK_RE_SPACES },
      0 },
    { "jais-2",
      { WK_RE_CONTRACTED
        "|" WK_RE_LEAD "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
        "\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|"
        "\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}" },
      0 },
    { "starcoder refact command-r smollm codeshell exaone minerva-7b mellum2",
      { "\\p{N}", WK_RE_GPT2 },
      0 },
    { "falcon", { WK_RE_PUNCT_RUN, WK_RE_GPT2, WK_RE_THREE_DIGITS }, 0 },
    { "default", { "[\\p{P}\\$\\+<=>\\^~\\|]+", WK_RE_GPT2, "\\p{N}+", WK_RE_THREE_DIGITS }, 0 },
    { "chameleon",
      { "<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\\t\\n]|    |  )", "\\p{N}",
        "[\\p{P}!-/:-@\\[-`{-~]", WK_RE_GPT2 },
      WK_PRE_BOS },
    { "poro-chat bloom gpt3-finnish", { NO_SENTENCE }, 0 },
    { "viking", { NO_SENTENCE, "\\p{N}" }, 0 },
    { "superbpe", { "\\p{N}+", "(?=(\\d{3})+(?!\\d))" }, 0 },
    { "deepseek-coder", { "[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", HAN_HANGUL, "\\p{N}" }, 0 },
    { "deepseek-llm",
      { "[\\r\\n]",
        "\\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293"
        "\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c"
        "\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0"
        "-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-"
        "\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b"
        "\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-"
        "\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113"
        "\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f"
        "\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3"
        "\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00"
        "-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-"
        "\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-"
        "\U000118df\U0001e900-\U0001e943]+",
        "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", "\\s+$", HAN_HANGUL,
        "\\p{N}+" },
      0 },
    { "gemma4 granite-embed-multi-311m",
      { WK_RE_ONE_LINE },
      WK_PRE_CHARS | WK_PRE_MARKS | WK_PRE_BOS },
    { "sarvam-moe", { WK_RE_ONE_LINE }, WK_PRE_CHARS | WK_PRE_MARKS },
    { "whitespace", { NULL }, WK_PRE_CHARS },
};

const wk_pre *wk_pre_find(wk_str name)
{
    for (size_t i = 0; i < WK_COUNT(pres); i++)
        for (const char *p = pres[i].names; *p;) {
            size_t n = strcspn(p, " ");
            if (wk_str_eq((wk_str){ p, n }, name))
                return &pres[i];
            p += n + (p[n] == ' ');
        }
    return NULL;
}

wk_str wk_pre_name(const char *const *split, size_t count, bool whole)
{
    for (size_t i = 0; i < WK_COUNT(pres); i++) {
        size_t n = 0;
        while (n < count && n < WK_COUNT(pres[i].split) && pres[i].split[n] &&
               !strcmp(pres[i].split[n], split[n]))
            n++;
        bool all = n == count && (n == WK_COUNT(pres[i].split) || !pres[i].split[n]);
        bool chars = pres[i].flags & (WK_PRE_CHARS | WK_PRE_MARKS);
        if (all && !chars && whole == !!(pres[i].flags & WK_PRE_WHOLE))
            return (wk_str){ pres[i].names, strcspn(pres[i].names, " ") };
    }
    return WK_STR("");
}
