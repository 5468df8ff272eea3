"""Templates in other languages: their sections and their questions."""

from __future__ import annotations

import pytest

from llm_optimizers.prompts.context.documents.asking import question_in
from llm_optimizers.prompts.context.documents.sections import sections

BODY = (
    "Aldmere lies on a river and sells cheese.\n\nBrackford has a mayor who lives in the mill.\n\n"
    "Carrow has a castle of stone and a long bridge."
)
TEMPLATES = {
    "German": ("Kontext:\n", "\n\nFrage: Wer?\nAntwort:", "Wer?"),
    "German sentence": (
        "Beantworte die Frage anhand des folgenden Kontexts:\n", "\n\nFrage: Wer?", "Wer?"
    ),
    "German headings": ("## Kontext\n", "\n\n## Frage\nWer?", "Wer?"),
    "German tags": ("<kontext>\n", "\n</kontext>\nWer?", "Wer?"),
    "German rules": ("Der Kontext steht unten.\n-----\n", "\n-----\nFrage: Wer?", "Wer?"),
    "Spanish": ("Contexto:\n", "\n\nPregunta: ¿Quién?\nRespuesta:", "¿Quién?"),
    "Spanish documents": ("Documentos relevantes:\n", "\n\nPregunta: ¿Quién?", "¿Quién?"),
    "Spanish sentence": ("Usa el siguiente contexto:\n", "\n\nPregunta: ¿Quién?", "¿Quién?"),
    "Spanish tags": ("<contexto>\n", "\n</contexto>\n¿Quién?", "¿Quién?"),
    "French": ("Contexte :\n", "\n\nQuestion : Qui ?", "Qui ?"),
    "Russian": ("Контекст:\n", "\n\nВопрос: Кто?\nОтвет:", "Кто?"),
    "Russian sentence": ("Ответь, используя следующий контекст:\n", "\n\nВопрос: Кто?", "Кто?"),
    "Russian tags": ("<контекст>\n", "\n</контекст>\nКто?", "Кто?"),
    "Chinese": ("上下文：\n", "\n\n问题：谁？\n回答：", "谁？"),
    "Chinese sentence": ("请根据以下上下文回答问题：\n", "\n\n问题：谁？", "谁？"),
    "Chinese tags": ("<上下文>\n", "\n</上下文>\n谁？", "谁？"),
    "Chinese sources": ("参考资料:\n", "\n\n用户问题: 谁？", "谁？"),
    "Arabic": ("السياق:\n", "\n\nالسؤال: من؟\nالإجابة:", "من؟"),
    "Arabic sentence": ("أجب عن السؤال باستخدام السياق التالي:\n", "\n\nالسؤال: من؟", "من؟"),
    "Arabic tags": ("<السياق>\n", "\n</السياق>\nمن؟", "من؟"),
    "Hindi": ("संदर्भ:\n", "\n\nप्रश्न: कौन?\nउत्तर:", "कौन?"),
    "Hindi tags": ("<संदर्भ>\n", "\n</संदर्भ>\nकौन?", "कौन?"),
    "Thai": ("บริบท:\n", "\n\nคำถาม: ใคร\nคำตอบ:", "ใคร"),
    "Thai sentence": ("ตอบคำถามโดยใช้บริบทต่อไปนี้:\n", "\n\nคำถาม: ใคร", "ใคร"),
    "Thai tags": ("<บริบท>\n", "\n</บริบท>\nใคร?", "ใคร?"),
    "Italian": ("Contesto:\n", "\n\nDomanda: Chi?", "Chi?"),
    "Portuguese": ("Contexto:\n", "\n\nPergunta: Quem?", "Quem?"),
    "Dutch": ("Context:\n", "\n\nVraag: Wie?", "Wie?"),
    "Polish": ("Kontekst:\n", "\n\nPytanie: Kto?", "Kto?"),
    "Turkish": ("Bağlam:\n", "\n\nSoru: Kim?", "Kim?"),
    "Swedish": ("Kontext:\n", "\n\nFråga: Vem?", "Vem?"),
    "Danish": ("Kontekst:\n", "\n\nSpørgsmål: Hvem?", "Hvem?"),
    "Norwegian": ("Kontekst:\n", "\n\nSpørsmål: Hvem?", "Hvem?"),
    "Finnish": ("Konteksti:\n", "\n\nKysymys: Kuka?", "Kuka?"),
}  # fmt: skip


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_sections_and_questions_are_found_in_every_language(template: tuple[str, str, str]) -> None:
    opening, closing, question = template
    text = opening + BODY + closing
    (found,) = sections(text)
    assert text[slice(*found)].strip() == BODY
    assert question_in(opening + closing) == question
