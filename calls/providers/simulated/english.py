"""The conversations in English."""

from calls.providers.simulated.language import Language, Scene, Speaker, agent, customer, wish
from calls.providers.simulated.personas import Persona

SCENES = {
    Persona.AGREES_TO_PAY: Scene(
        turns=(
            customer(
                "Yes, I know about it. I can pay, but I need a few days.",
                "That is right. I was going to take care of it.",
                "I had not forgotten. I will settle it soon.",
            ),
            agent("Thank you. On which day will you pay?"),
            customer(
                "I will pay on {date}.",
                "You can count on it by {date}.",
                "Let us say {date}.",
            ),
            agent("Thank you. I have noted that you will pay by {date}. Goodbye."),
            customer("Thank you, goodbye.", "Goodbye."),
        ),
        summary="The customer knows of the debt and promises to pay by {date}.",
        outcome_reasoning="The customer named a day by which they will pay.",
        sentiment_reasoning="The customer was cooperative and offered a date without hesitation.",
    ),
    Persona.HAS_PAID: Scene(
        turns=(
            customer(
                "I have already paid that.",
                "That is settled. I paid it by bank transfer.",
                "I do not owe that any more, I have paid it.",
            ),
            agent("Thank you for telling me. I will note it, so that the payment can be checked."),
            customer(
                "Please do. I have the receipt.",
                "All right, I have proof of it.",
                "Good. I kept the receipt.",
            ),
            agent("Please keep it until the payment is confirmed. Goodbye."),
        ),
        summary="The customer says that the debt has been paid and holds proof of the payment.",
        outcome_reasoning="The customer said that the payment was made before this call.",
        sentiment_reasoning="The customer was matter-of-fact throughout.",
    ),
    Persona.DISPUTES: Scene(
        turns=(
            customer(
                "That is not right, and I do not accept it.",
                "I disagree. I do not owe that.",
                "No, there must be a mistake.",
            ),
            agent("I understand. What is it that you disagree with?"),
            customer(
                "The service was never delivered as agreed.",
                "That is not what my contract says.",
                "I cancelled before this was billed.",
            ),
            agent("Thank you. I will record your objection, so that it can be reviewed. Goodbye."),
            customer("I expect an answer. Goodbye.", "Please do. Goodbye."),
        ),
        summary="The customer disputes the debt and gives a reason, which needs a review.",
        outcome_reasoning="The customer said that the claim is wrong and explained why.",
        sentiment_reasoning="The customer was displeased about being asked for this payment.",
    ),
    Persona.CALL_BACK: Scene(
        turns=(
            customer(
                "I cannot talk now, I am at work.",
                "This is a bad moment, I am driving.",
                "I am in a meeting at the moment.",
            ),
            agent("Of course. When would be a better time to call?"),
            wish(
                "Tomorrow evening, please.",
                "Tomorrow morning would be better.",
                "Some time later this week.",
            ),
            agent("Thank you, I have noted that. Goodbye."),
        ),
        summary="The customer had no time to talk and asks to be called back later.",
        outcome_reasoning="The customer asked for a call at another time.",
        sentiment_reasoning="The customer was polite but in a hurry.",
    ),
    Persona.REFUSES: Scene(
        turns=(
            customer(
                "I am not going to pay this.",
                "You will get nothing from me.",
                "I have no intention of paying.",
            ),
            agent("I understand. Is there an arrangement that would make it possible for you?"),
            customer(
                "No, I have nothing to add. Goodbye.",
                "No, that is my last word. Goodbye.",
                "No, there is not. Goodbye.",
            ),
        ),
        summary="The customer refuses to pay and turns down any arrangement.",
        outcome_reasoning="The customer said plainly that they will not pay.",
        sentiment_reasoning="The customer was curt and broke off the conversation.",
    ),
    Persona.STOP_CALLING: Scene(
        turns=(
            customer(
                "Please do not call me again.",
                "Stop calling me.",
                "I do not want any more of these calls.",
            ),
            agent("I understand. I will record that you do not want to be called again. Goodbye."),
            customer("Good. Goodbye.", "Thank you. Goodbye."),
        ),
        summary="The customer asks not to be called again. No payment was agreed.",
        outcome_reasoning="The customer asked for the calls to stop.",
        sentiment_reasoning="The customer was annoyed by the call.",
    ),
    Persona.WRONG_NUMBER: Scene(
        turns=(
            customer(
                "No, you have the wrong number.",
                "No, I think you are looking for someone else.",
                "No, this number belongs to somebody else.",
            ),
            agent(
                "I am sorry to have troubled you. I will note that the number is wrong. Goodbye."
            ),
            customer("No problem. Goodbye.", "Goodbye."),
        ),
        summary="The number belongs to someone else. The agent apologised for the call.",
        outcome_reasoning="The person who answered said that they are not the one being sought.",
        sentiment_reasoning="The person was neither pleased nor annoyed.",
    ),
    Persona.NO_COMMITMENT: Scene(
        turns=(
            customer(
                "I will have to look at my finances first.",
                "I hear you, but things are difficult just now.",
                "I will think about it.",
            ),
            agent("Is there a day on which you could pay, even a part of it?"),
            customer(
                "I cannot say yet.",
                "I would rather not promise anything.",
                "I do not know at the moment.",
            ),
            agent("I understand. I will note that we agreed on no date. Thank you, and goodbye."),
        ),
        summary="The customer listened but did not commit to a payment or a date.",
        outcome_reasoning="The customer neither promised nor refused to pay.",
        sentiment_reasoning="The customer was calm and evasive.",
    ),
}

ENGLISH = Language(
    code="en",
    speakers={Speaker.AGENT: "Agent", Speaker.CUSTOMER: "Customer"},
    date_format="l, F j, Y",
    pick_up=customer("Hello?", "Yes?", "Hello, who is this?"),
    greeting=agent("Hello, this is an automated assistant calling about a personal matter."),
    ask=customer(
        "Hello. What is this about?",
        "Hello. May I ask why you are calling?",
        "Good day. What can I do for you?",
    ),
    verify=agent(
        "It is a private matter. May I first confirm that I am speaking with the right person?"
    ),
    confirm=customer("Yes, you are.", "Yes, that is me.", "Yes, speaking."),
    debt=agent('Thank you. I would like to talk about settling this. Our records say: "{quote}"'),
    debt_unstated=agent("Thank you. I would like to talk about settling your open balance."),
    scenes=SCENES,
    summary="Simulated call: {summary}",
    no_word="{reasoning} The template lists no word for this.",
)
