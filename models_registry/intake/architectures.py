"""Which architectures of transformers each task runs: model type -> the class that config.json must name. Pure."""

_ENCODERS = {
    "albert": "Albert",
    "bert": "Bert",
    "camembert": "Camembert",
    "distilbert": "DistilBert",
    "electra": "Electra",
    "modernbert": "ModernBert",
    "mpnet": "MPNet",
    "roberta": "Roberta",
    "xlm-roberta": "XLMRoberta",
}
_DECODERS = {
    "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "gpt_neo": "GPTNeoForCausalLM",
    "gpt_neox": "GPTNeoXForCausalLM",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "olmo2": "Olmo2ForCausalLM",
    "opt": "OPTForCausalLM",
    "phi": "PhiForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
}
_IMAGE_ENCODERS = {
    "convnext": "ConvNext",
    "convnextv2": "ConvNextV2",
    "deit": "DeiT",
    "resnet": "ResNet",
    "swin": "Swin",
    "vit": "ViT",
}


def _with_head(encoders: dict[str, str], head: str) -> dict[str, str]:
    return {kind: f"{name}{head}" for kind, name in encoders.items()}


# Per task: model type -> architecture.
ARCHITECTURES: dict[str, dict[str, str]] = {
    "feature-extraction": _with_head(_ENCODERS, "Model"),
    "text-classification": _with_head(_ENCODERS, "ForSequenceClassification"),
    "token-classification": _with_head(_ENCODERS, "ForTokenClassification"),
    "fill-mask": _with_head(_ENCODERS, "ForMaskedLM"),
    "question-answering": _with_head(_ENCODERS, "ForQuestionAnswering"),
    "zero-shot-classification": _with_head(_ENCODERS | {"bart": "Bart"}, "ForSequenceClassification"),
    "text2text-generation": _with_head({"bart": "Bart", "t5": "T5"}, "ForConditionalGeneration"),
    "text-generation": _DECODERS,
    "image-classification": _with_head(_IMAGE_ENCODERS, "ForImageClassification"),
    "automatic-speech-recognition": _with_head({"hubert": "Hubert", "wav2vec2": "Wav2Vec2"}, "ForCTC"),
}

# What turns a file into numbers, by task. Each is a class of transformers that computes with NumPy and Pillow alone.
PREPROCESSORS: dict[str, frozenset[str]] = {
    "image-classification": frozenset(
        f"{name}ImageProcessor{backend}"
        for name in ("Bit", "CLIP", "ConvNext", "DeiT", "ViT")
        for backend in ("", "Fast", "Pil")
    ),
    "automatic-speech-recognition": frozenset({"Wav2Vec2FeatureExtractor"}),
}
