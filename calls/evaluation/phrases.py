"""The words by which the rules decide, in English and Arabic.

Patterns are matched against one normalised sentence at a time (`wording.sentences`). In Arabic they
are written as people spell, and normalised here.
"""

import re
from enum import StrEnum

from calls.evaluation.wording import LETTERS, SILENT


class Kind(StrEnum):
    """What a conversation brings, the most protective first; as the default template words it."""

    DO_NOT_CALL = "DO_NOT_CALL"
    WRONG_NUMBER = "WRONG_NUMBER"
    DISPUTE = "DISPUTE"
    ALREADY_PAID = "ALREADY_PAID"
    REFUSED = "REFUSED"
    PROMISE_TO_PAY = "PROMISE_TO_PAY"
    CALL_BACK = "CALL_BACK"
    NO_COMMITMENT = "NO_COMMITMENT"


def english(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(rf"\b(?:{pattern})" for pattern in patterns))


def arabic(*patterns: str) -> re.Pattern[str]:
    """Patterns that begin at the start of a word, after و or ف too."""
    folded = (SILENT.sub("", pattern).translate(ARABIC_LETTERS) for pattern in patterns)
    return re.compile("|".join(rf"(?<!\w)[وف]?(?:{pattern})" for pattern in folded))


# Letters alone: in a pattern, marks such as ? have a meaning.
ARABIC_LETTERS = {letter: to for letter, to in LETTERS.items() if chr(letter).isalpha()}
END = r"(?!\w)"
PAY = r"(?:pay|paying|settle|transfer|deposit|wire|clear|send)"
WHO = r"(?:i|we)"
FILLER = r"(?:(?!not\b|never\b|try\b|think\b|see\b|consider\b|be\b|wait\b|have\b)\w+ ){0,2}"
PAY_AR = r"(?:[اأن](?:دفع|سدد|حول|ودع|رسل))(?:ه|ها|هم|لكم|لك)?"
# As it is spoken: the letter of the first person is swallowed.
SPOKEN_PAY_AR = r"(?:دفع|سدد|حول)(?:ه|ها|هم|لكم|لك)?"
WANT_AR = r"(?:اريد|ابغى|ابغا|ابي|ودي|بدي|عايز|عاوز|حاب|ناوي|اقدر|استطيع)"

NOT_CALL = (
    r"(?:call|calling|phone|phoning|ring|ringing|contact|contacting|bother|bothering|harass"
    r"|harassing|disturb|text)"
)
ENGLISH: dict[Kind, re.Pattern[str]] = {
    Kind.DO_NOT_CALL: english(
        rf"(?:do not|never|not to|not) (?:you )?(?:ever |dare )?{NOT_CALL}"
        r"(?: me| us| here| this| my| back| again| any ?more|\W|$)",
        r"(?<!not )(?<!never )(?:stop|quit|cease) (?:\w+ )?(?:calling|phoning|ringing|contacting"
        r"|bothering|harassing|these calls|the calls|all calls|your calls|all contact)",
        r"no more (?:of (?:these|your) )?calls",
        r"not want (?:any (?:more )?(?:of )?)?(?:these |your |more )*calls",
        r"not want (?:to be|being) (?:called|contacted|phoned)",
        r"not want (?:you|anyone|anybody) (?:to (?:call|contact)|calling)",
        r"(?:take|get|remove|delete|lose|erase|forget) (?:me|us|my (?:phone )?number|this number)"
        r"(?: (?:off|from|out)|[ .!,]*$)",
        r"remove (?:me|my)",
        r"leave (?:me|us) alone",
    ),
    Kind.WRONG_NUMBER: english(
        r"wrong (?:number|person|guy|man|woman|phone)(?! (?:of|on))",
        r"(?:looking for|want|mean|after|calling) (?:someone|somebody) else",
        r"number (?:belongs to|is) (?:someone|somebody|another)",
        r"(?:no ?one|nobody|no|not any(?:one|body)) (?:\w+ ){0,4}(?:by|with|of|called) that name",
        r"(?:no ?one|nobody) (?:here )?(?:is )?called",
        r"not know (?:any(?:one|body)|a person|someone|him|her|this person|that person|this man"
        r"|this woman|who that is|who (?:he|she) is)",
        r"(?:he|she|they|that person) (?:does|do) not (?:live|work) here",
        r"i am not (?:mr|mrs|ms|him|her|the (?:right )?(?:person|one you))\b",
        r"(?:this|it) is not (?:his|her|their) (?:number|phone)",
        r"no longer (?:has|uses|have) this number",
    ),
    Kind.DISPUTE: english(
        r"(?:i|we) (?:do |want to |will |am |would like to )?(?:dispute|disputing|contest"
        r"|challenge)",
        r"(?<!not )disagree",
        r"not (?:accept|agree with|agree to) (?:this|it|that|the|your)",
        r"not owe",
        r"owe (?:you )?nothing",
        r"never (?:ordered|bought|signed|received|agreed|had|used|took|got|borrowed)"
        r"(?! (?:\w+ )?(?:message|email|letter|reminder|sms|call|text|invoice|bill|salary|time))",
        r"did not (?:order|buy|sign|agree|use|take|borrow|receive|get)"
        r"(?! (?:\w+ )?(?:message|email|letter|reminder|sms|call|text|invoice|bill|salary|paid"
        r"|money|time|that\b|what you|your name))",
        r"(?:amount|bill|invoice|charge|claim|figure|balance|debt|sum|total) (?:is|was|can not be)"
        r" (?:\w+ )?(?:wrong|incorrect|false|mistaken|too high|not right|not correct|not mine|right"
        r" at all)",
        r"(?:that|this|it) is (?:wrong|incorrect|false)(?! (?:number|person))",
        r"(?:that|this|it) is not (?:right|correct|true|mine|my (?:debt|bill|invoice|account))"
        r"(?! (?:now|away))",
        r"(?:must|has to|is|made|got to) (?:be )?(?:a|an|some) (?:mistake|error)",
        r"(?:was|been|being|am) overcharged|overcharged me",
        r"cancell?ed (?:it |that |this |my |the )?(?:before|contract|service|order|subscription)",
        r"not what (?:my|the|our|i|we) (?:contract|agreement|agreed|ordered|signed)",
        r"(?:never|not) (?:been )?(?:delivered|provided|performed)",
        r"defective|faulty|fraudulent|fraud\b",
        r"my (?:lawyer|attorney|solicitor)",
    ),
    Kind.ALREADY_PAID: english(
        rf"{WHO} (?:have |had |did )?(?:already |just |fully )*(?:paid|settled|transferred|cleared"
        r"|wired)(?! (?:half|part|some|a part|a bit|a little|the first|one|attention))",
        r"already (?:been )?(?:paid|settled|transferred|cleared)",
        r"my (?:husband|wife|son|daughter|brother|sister|father|mother|company|office|accountant)"
        r" (?:has |have )?(?:already )?(?:paid|settled|transferred)",
        r"(?:it|that|this|bill|invoice|debt|amount|everything|balance) (?:is|was|has been|had been)"
        r" (?:already |fully |all |long )*(?:paid|settled)",
        r"(?:i|we) (?:have )?(?:already )?made (?:the|that|a|this) (?:payment|transfer)"
        r"(?! plan| arrangement)",
        r"payment (?:has |already )*(?:went through|gone through|been made|was made|is done)",
        r"(?:have|got|kept|holding) (?:the|a|my) receipt|proof of (?:it|payment)",
    ),
    Kind.REFUSED: english(
        r"(?:will not|going to not|not going to|not about to|never|never going to|will never)"
        r" (?:be )?(?:pay|paying|settle|give you)",
        r"(?:refuse|refusing) to pay|i refuse\b",
        r"not (?:willing|prepared|want|intend|intending|planning|plan) to (?:pay|settle)",
        r"no (?:intention|plan|plans) (?:of|to) (?:pay|paying|settle|settling)",
        r"(?:am|are) not paying",
        r"(?:get|see|getting|seeing) nothing (?:from|out of) me",
        r"not (?:get|getting|see|seeing|give|giving) (?:you )?(?:a|any|one|a single)"
        r" (?:money|cent|penny|dirham|riyal|thing|dollar)",
        r"not a (?:single )?(?:cent|penny|dirham|riyal|dollar)\b",
    ),
    Kind.CALL_BACK: english(
        r"(?:call|ring|phone|contact|try|reach) (?:me |us )?(?:back|again|later|tomorrow|another"
        r"|next|on|at|in|after|this)\b",
        r"(?:call|ring|phone) (?:me|us)\b",
        r"another time|some other time",
        r"(?:bad|not a good|not the right|wrong) (?:time|moment)",
        r"can not (?:really )?(?:talk|speak)",
        r"(?:am|are) (?:very |quite |a bit |really )?(?:busy|driving|in a meeting|at work)",
    ),
}
ENGLISH[Kind.PROMISE_TO_PAY] = english(
    rf"{WHO} (?:will|shall|am going to|are going to|promise to|do promise to) {FILLER}{PAY}\b",
    rf"{WHO} (?:will|shall|am going to|are going to) {FILLER}(?:make (?:the|a|that) "
    r"(?:payment|transfer)|take care of (?:it|this|that))",
    r"i promise\b",
    r"count on (?:it|me)",
    r"you (?:will|shall) (?:have|get|receive) (?:it|the money|your money|the payment|the amount)",
    r"consider it (?:paid|done)",
)
# A payment is spoken of: with a day, and nothing that takes it back, this is a promise too.
ENGLISH_OFFER = english(
    rf"{WHO} (?:can|could|want to|plan to|intend to|would like to) {FILLER}{PAY}\b",
    rf"let me {PAY}\b",
    r"^(?:to )?(?:pay|settle|transfer)\b",
)

PAID_AR = r"(?:دفعت|سددت|حولت|سددنا|دفعنا|حولنا)(?:ه|ها|هم|لكم|لك)?"
ARABIC: dict[Kind, re.Pattern[str]] = {
    Kind.DO_NOT_CALL: arabic(
        r"(?:لا|ألا|ما|بدون ما) (?:عاد |أحد |حد )?(?:ت|ي)(?:تصل|كلم|دق|رن|زعج|راسل)\w*",
        r"(?:ما|م)ت?تصل\w*ش" + END,
        r"(?:لا|ألا|ما) تعاود\w* (?:الاتصال|تتصل)",
        r"لا تعيد\w* الاتصال",
        r"(?:توقف\w*|أوقف\w*|وقف\w*|كف\w*|بطل\w*) (?:عن )?(?:ال)?"
        r"(?:اتصال|مكالم|تتصل|ازعاج|إزعاج)\w*",
        rf"(?:لا|ما|مش|مو|مب) {WANT_AR} (?:\w+ ){{0,2}}(?:ال)?(?:مكالم|اتصال|تتصل|يتصل|تكلم)\w*",
        r"(?:احذف|حذف|شيل|امسح|أزيل|ازل)\w* (?:لي )?(?:رقمي|اسمي|هذا الرقم)",
        r"(?:اتركوني|اتركني|خلوني|خلني|سيبوني|سيبني) (?:في|ب|ل)?\s?(?:حالي|شأني|وحدي)",
    ),
    Kind.WRONG_NUMBER: arabic(
        r"(?:ال)?(?:رقم|نمرة) (?:ال)?(?:خطأ|خاطئ|غلط)" + END,
        r"(?:غلطان|غلطانين|مخطئ|أخطأتم?) (?:في |ب)?(?:ال)?(?:رقم|نمرة)",
        r"(?:ال)?رقم (?:ل|يخص |لل)?(?:شخص|واحد|أحد|ناس) (?:آخر|ثاني|تاني|غيري|ثانيين)",
        r"(?:تبحث|تدور|تسأل|تقصد|تريد)\w* (?:عن |على )?(?:شخص|واحد|أحد) (?:آخر|ثاني|تاني|غيري)",
        r"(?:لست|مو|مش|مب|ماني|ما أنا) (?:أنا )?(?:هو|هي|الشخص|صاحب|صاحبة)" + END,
        r"(?:لا|ما) (?:أعرف|اعرف) (?:هذا الشخص|أحد\w* (?:بهذا|بهالاسم|اسمه)|حد (?:ب|اسمه)|هذا الاسم"
        r"|شخص\w* بهذا|صاحب)",
        r"(?:لا يوجد|ما في|مافي|ما فيه|ليس هنا) (?:هنا )?(?:أحد|حد|شخص) (?:هنا )?"
        r"(?:بهذا|بهال|اسمه|ب)",
    ),
    Kind.DISPUTE: arabic(
        r"(?:أعترض|معترض|معترضة|اعتراض|نعترض)" + END,
        r"(?:غير|مو|مش|مب|ليس|ليست|مهو) (?:صحيح|دقيق|صح)\w*",
        r"(?:لا|ما) (?:أوافق|اقبل|أقبل)" + END,
        r"(?:لست|مو|مش|مب|غير) (?:موافق|مدين|مديون)\w*",
        r"(?:هناك|فيه|في|يوجد|أكيد) (?:ال)?(?:خطأ|غلط)" + END,
        r"(?:ال)?(?:مبلغ|فاتورة|حساب|مطالبة) (?:هذا |هذه )?(?:ال)?(?:خطأ|غلط|خاطئ|خاطئة|مبالغ|زائد)"
        + END,
        r"(?:ما|ليس|مو) (?:لكم )?علي (?:لكم )?(?:أي )?(?:شيء|شي|دين|فلوس|مبلغ|ديون)" + END,
        r"لم (?:أستلم|أحصل|أطلب|أشتر|أشتري|أوقع|أتعاقد|أستخدم|أتفق)"
        r"(?! (?:على )?(?:ال)?(?:راتب|رسالة|رسائل|فاتورة))",
        r"ما (?:استلمت|طلبت|اشتريت|وقعت|استخدمت|حصلت|تعاقدت|أخذت)"
        r"(?! (?:على )?(?:ال)?(?:راتب|رسالة|رسائل|فاتورة))",
        r"ألغيت (?:ال)?(?:خدمة|عقد|اشتراك|طلب)\w*",
        r"يخالف (?:ما|ال)",
        r"(?:المحامي|محامي|محاميي)" + END,
    ),
    Kind.ALREADY_PAID: arabic(
        rf"(?:لقد |قد |أنا |خلاص |سبق |أن |لأني |لأنني |إني |إنني )*{PAID_AR}{END}"
        r"(?! (?:نصف|جزء|جزءا|بعض|قسط|نص|شوي|شوية))",
        r"قمت ب(?:ال)?(?:دفع|سداد|تحويل|تسديد)",
        r"تم (?:السداد|الدفع|التحويل|سداد|دفع|تحويل|تسديد)\w*",
        r"(?<!غير )(?<!مو )(?<!مش )(?<!ليس )(?:مدفوع|مدفوعة|مسدد|مسددة)" + END,
        r"(?:الإيصال|إيصال\w*|وصل الدفع) (?:عندي|معي|لدي|موجود)",
        r"(?:عندي|معي|لدي|احتفظت ب) ?(?:ال)?إيصال",
    ),
    Kind.REFUSED: arabic(
        rf"لن {PAY_AR}{END}",
        r"لن (?:تحصل|تأخذ|تاخذ|أعطيك|اعطيك)\w*",
        r"لا (?:أنوي|انوي) (?:ال)?(?:دفع|سداد|أن أدفع|أن أسدد|تسديد)",
        r"(?<!لا )(?<!ما )(?<!لم )(?<!لست )(?<!مو )(?:أرفض|رافض|رافضة|نرفض)" + END,
        rf"(?:ما|مو|مش|مب) (?:راح |رح |حا?|ه|ب|سوف )?\s?{PAY_AR}{END}",
        rf"(?:ما|مو|مش|مب) (?:ح|ه|ب){SPOKEN_PAY_AR}{END}",
        r"(?:ماني|ماني ب|مو|مش|مب|لست) ?(?:دافع|مسدد)\w*",
        rf"(?:لا|ما|مش|مو|مب) (?:اريد|ابغى|ابغا|ابي|ودي|بدي|عايز|عاوز|حاب|ناوي) (?:أن |اني )?"
        rf"(?:{PAY_AR}|الدفع|السداد){END}",
    ),
    Kind.CALL_BACK: arabic(
        r"(?:اتصل|كلم|دق|رن|حاول)\w* (?:بي|علي|فيني|معي|لي|مرة|لاحقا|غدا|بكرة|بكرا|بعد|بعدين|وقت)",
        r"(?:كلموني|كلمني|اتصلوا|عاودوا|عاود) ",
        r"(?:كلموني|كلمني)" + END,
        r"وقت (?:آخر|ثاني|تاني|لاحق)" + END,
        r"(?:ال)?وقت (?:غير|مو|مش|مب) (?:مناسب|وقت)",
        r"(?:مو|مش|مب|ليس) (?:ال)?وقت",
        r"(?:لا|ما|مش|مو) (?:أستطيع|أقدر|قادر|فيني|بقدر) (?:ال|أن |ا)?(?:حديث|تحدث|كلام|أتكلم|أتحدث"
        r"|اكلمك|احكي|تكلم)\w*",
        r"(?:مشغول|مشغولة|أقود|أسوق|بسوق)" + END,
        r"(?:أنا )?(?:في|ب) ?(?:ال)?(?:اجتماع|دوام|شغل)" + END,
        r"أنا في العمل",
        r"بعدين" + END,
    ),
}
ARABIC[Kind.PROMISE_TO_PAY] = arabic(
    rf"(?:س|سوف |راح |رح |ه|حا?|ب|با){PAY_AR}{END}",
    rf"(?:ه|ح){SPOKEN_PAY_AR}{END}",
    r"(?:أعدك|أوعدك|اوعدك|وعد مني|أتعهد|التزم ب|ألتزم ب)\w*",
    r"(?:سيصل|بيوصل|راح يوصل|سيوصل)\w*",
    r"(?:سأقوم|بقوم|راح أقوم) ب(?:ال)?(?:سداد|دفع|تحويل|تسديد)",
    r"(?:أبشر|ابشروا)" + END,
)
ARABIC_OFFER = arabic(
    rf"(?:أقدر|أستطيع|يمكنني|بقدر|فيني|أريد|ابغى|ابي|بدي|ناوي|أنوي) (?:أن |اني )?(?:{PAY_AR}"
    r"|الدفع|السداد|التسديد|التحويل)" + END,
    rf"{PAY_AR}{END}",
    rf"ب{SPOKEN_PAY_AR}{END}",  # without a day it may as well mean “by paying”
)


def either(*patterns: re.Pattern[str]) -> re.Pattern[str]:
    return re.compile("|".join(pattern.pattern for pattern in patterns))


PHRASES = {kind: either(ENGLISH[kind], ARABIC[kind]) for kind in ENGLISH}
OFFER = either(ENGLISH_OFFER, ARABIC_OFFER)
ABOUT_PAYING = either(
    english(rf"{PAY}\b", r"payment|paid|instal"),
    arabic(r"\w{0,4}(?:دفع|سدد|سداد|حول|تحويل)\w{0,4}", r"سيصل\w*"),
)

# What takes a phrase back, in the same sentence.
UNLESS: dict[Kind, re.Pattern[str]] = {
    Kind.DO_NOT_CALL: either(
        english(r"why (?:do|did|are) (?:you )?not", r"never stop", r"do not stop"),
        arabic(r"(?:لم|لماذا|ليش|ليه) لا تتصل"),
    ),
    Kind.WRONG_NUMBER: either(
        english(r"(?:not|is (?:this|it)) (?:a |the )?wrong (?:number|person)"),
        arabic(r"(?:ليس|مو|مش|مب) (?:ال)?رقم", r"رقم (?:ال)?(?:حساب|فاتورة)"),
    ),
    Kind.DISPUTE: either(
        english(
            r"(?:not|no|without) (?:a |any )?(?:dispute|disputing|mistake|fraud)",
            r"not (?:say|saying) ",
            r"wrong (?:number|person)|number is wrong",
        ),
        arabic(
            r"(?:لا|ما|مو|مش|ليس|بدون|بلا|لست) (?:عندي |لدي |هناك )?(?:أي )?(?:أعترض|اعتراض|معترض)",
            r"(?:ال)?رقم (?:خطأ|غلط|غير صحيح)",
            r"(?:لا يوجد|ما في|ما فيه|ليس هناك) (?:أي )?(?:خطأ|غلط)",
        ),
    ),
    Kind.ALREADY_PAID: either(
        english(
            r"(?:not|never) (?:yet )?(?:been |already )?(?:paid|settled|transferred|made)",
            r"thought",
            r"(?:if|once|when|after|until|unless) ",
            r"will (?:be|have) ",
            r"wish",
        ),
        arabic(
            r"(?:ما|لو|إذا|متى|عندما|لما|حين|كنت أظن|أول ما|بعد ما) (?:\w+ )?(?:دفعت|سددت|حولت|تم)",
            r"(?:لم|ما) (?:يتم|تم)",
        ),
    ),
    Kind.REFUSED: either(
        english(
            r"(?:not|never) (?:say|said|saying|that|mean)",
            r"pay (?:\w+ )?(?:today|now|this (?:week|month)|tonight|late|all|everything|twice"
            r"|in full|the (?:full|whole)|before|until|at once)",
            r"pay (?:it |that |this )?(?:all|before|until|today|now|late|twice|in full|at once)",
        ),
        arabic(
            r"(?:لم|ما) (?:أقل|قلت|أقصد)",
            r"(?:دفع|سدد|حول)\w{0,3} (?:\w+ )?(?:اليوم|الآن|الحين|هذا الشهر|قبل|حتى|كامل|كل)",
            r"(?:ما|مو|مش|مب) (?:أقدر|أستطيع|قادر|بقدر)",
        ),
    ),
    Kind.PROMISE_TO_PAY: either(
        english(
            r"(?:if|maybe|perhaps|might|possibly|probably|unless|hopefully|try|unsure)\b",
            r"(?:why|how|what|who)\b",
            r"(?:not|never|nothing|nor|can not)\b",
            r"(?:call|phone|ring) (?:me|back|us|again)",
            r"(?:think|see|look) (?:about|whether|what|if|at|into)",
            r"when (?:i|we) (?:can|could|am able)|as soon as (?:i|we) can",
        ),
        arabic(
            r"(?:ربما|يمكن|ممكن|إذا|لو|يجوز|احتمال|أحاول|سأحاول|بحاول|سأفكر|أفكر|حسب)" + END,
            r"قد (?:أ|ن)(?:دفع|سدد)",
            r"(?:لا|لن|لم|ما|مش|مو|مب|ماني|لست|غير)" + END,
            r"(?:لماذا|ليش|ليه|كيف|متى)" + END,
            r"(?:اتصل|كلم)\w*",
        ),
    ),
    Kind.CALL_BACK: either(
        english(r"i will (?:call|ring|phone)", r"(?:do not|never) (?:ever )?call"),
        arabic(r"لا (?:تتصل|تكلم)"),
    ),
}
# A promise that names neither a day nor more than this is none.
VAGUE = either(
    english(r"soon|later|some ?day|eventually|one day|in time|when|once|after|as soon as|until"),
    arabic(r"(?:قريبا|لاحقا|بعدين|يوما ما|لما|عندما|أول ما|حين|متى ما)" + END),
)
# “I owe nothing” is no dispute of somebody who says that it has been paid.
NOTHING_OWED = either(
    english(r"not owe|owe (?:you )?nothing"),
    arabic(r"(?:ما|ليس|مو) (?:لكم )?علي|(?:لست|مو|مش|مب|غير) (?:مدين|مديون)\w*"),
)
# Not to be called at some time is not: not to be called, if another time is asked for.
SOME_TIME_ONLY = either(
    english(
        r"(?:call|phone|ring|contact)\w*(?: me| us)?(?: back)? (?:right now|now|today|at work|here"
        r"|this (?:late|early)|so (?:late|early)|before|after|in the|during|at (?:this|that|night)"
        r"|on|tomorrow|tonight|until)\b"
    ),
    arabic(
        r"(?:تتصل|تكلم|تدق|يتصل)\w*(?: بي| علي)? (?:الآن|اليوم|الحين"
        r"|في (?:العمل|الدوام|الليل|الصباح)"
        r"|قبل|بعد|وقت|غدا|بكرة|الصبح|بالليل)"
    ),
)
FOR_GOOD = either(
    english(r"again|any ?more|ever\b|never"),
    arabic(r"(?:مرة أخرى|أبدا|مرة ثانية|نهائيا|بعد اليوم)"),
)

YES = either(
    english(
        r"(?:yes|yeah|yep|yup|sure|ok|okay|certainly|definitely|absolutely|agreed|deal|of course"
        r"|fine|all right|alright|i will|i do|i can|i have|i did|please do|exactly|correct)\b"
    ),
    arabic(
        r"(?:نعم|أيوه|أيوا|إيوه|إي|أي نعم|أجل|تمام|موافق|موافقة|أكيد|طبعا|حاضر|طيب|أوكي|بالتأكيد"
        r"|إن شاء الله|ماشي|صحيح)" + END
    ),
)
NO = either(
    english(r"no|not|never|nothing|can not|maybe|perhaps|but|if"),
    arabic(r"(?:لا|لن|ما|لم|مو|مش|مب|ليس|ربما|يمكن|بس|إذا)" + END),
)
# What the agent asks, and a “yes” to it then means. The past comes before the future.
ASKED: dict[Kind, re.Pattern[str]] = {
    Kind.DO_NOT_CALL: either(
        english(r"(?:want|wish|like|prefer) (?:us |me )?(?:to stop|not to|to not) (?:be )?call"),
        arabic(r"(?:تريد|تود|ترغب)\w* (?:أن )?(?:نتوقف|نوقف|في وقف|عدم|ألا)"),
    ),
    Kind.DISPUTE: either(
        english(r"(?:do|are) you (?:want to )?disput\w*"), arabic(r"هل (?:تعترض|أنت معترض)\w*")
    ),
    Kind.ALREADY_PAID: either(
        english(r"(?:have|did) you (?:already )?(?:paid|pay|settled?|transferred|made)\b"),
        arabic(r"(?:هل )?(?:سددت|دفعت|حولت)\w*", r"هل تم (?:السداد|الدفع)"),
    ),
    Kind.REFUSED: either(
        english(r"(?:do|are) you (?:refuse|refusing)"), arabic(r"هل (?:ترفض|أنت رافض)\w*")
    ),
    Kind.PROMISE_TO_PAY: either(
        english(
            rf"(?:will|can|could|would|do|shall|may)\b[^.?]{{0,120}}\b{PAY}\b",
            rf"(?:when|which day|what day|what date)\b[^.?]{{0,120}}\b{PAY}\b",
        ),
        arabic(
            r"(?:هل|متى|يوم|أي يوم|تستطيع|تقدر|ممكن|يمكنك)\w*[^.?]{0,120}"
            r"(?:ت|ال)(?:دفع|سدد|سداد|حول)\w*"
        ),
    ),
    Kind.CALL_BACK: either(
        english(
            r"(?:may|can|shall|should|could) (?:i|we)\b[^.?]{0,120}\bcall",
            r"(?:when|what time|better time)\b[^.?]{0,120}\bcall",
        ),
        arabic(r"(?:متى|هل|في أي)[^.?]{0,120}(?:نعاود|نتصل|أتصل|أعاود|اتصال)\w*"),
    ),
}
REFUSES_THE_ASKED = either(english(r"no\b"), arabic(r"لا" + END))
RUDE = either(
    english(r"(?:damn|hell|shut up|idiot|stupid|scam\w*|harass\w*|sick of|fed up|fuck\w*|angry)\b"),
    arabic(r"(?:نصاب|نصابين|حرامي|حرامية|احتيال|أزعجتو|زهقت|مليت|غبي|قلة أدب)\w*"),
)
# Words of somebody who talks to a machine, not to a person.
TO_THE_MACHINE = either(
    english(
        r"(?:ignore|disregard|forget|override) (?:\w+ ){0,3}(?:instruction|prompt|rule|above)\w*",
        r"(?:system prompt|as an ai|you are now|json|outcome)\b",
        r"(?:answer|output|respond|reply|record|return|classify|mark|report|set)\b[^.?]{0,120}"
        r"(?:promise|paid|outcome|instruction)",
    ),
    arabic(
        r"(?:تجاهل|انس|اهمل)\w* (?:\w+ ){0,3}(?:التعليمات|الأوامر|ما سبق)",
        r"(?:أجب|اجب|سجل|اكتب|صنف)\w*[^.?]{0,120}(?:وعد|النتيجة|التعليمات)",
    ),
)
