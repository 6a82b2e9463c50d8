"""Triples of sentences written by hand: a sentence, its paraphrase, and a decoy that shares more of its words.

Asked are two things: which of all the paraphrases belongs to a sentence, and whether the paraphrase is nearer
than the decoy. The decoys are chosen to mislead whoever counts words, so counting is no fair baseline there.
"""

TRIPLES = (
    ("How do I change my password?", "I want to set a new login secret.", "How do I change my tyres?"),
    (
        "The train was late this morning.",
        "Our rail service was delayed today.",
        "The train museum was open this morning.",
    ),
    ("She is a doctor in the village.", "She practises medicine in a small town.", "She is a painter in the village."),
    ("The cat sleeps on the sofa.", "A kitten is napping on the couch.", "The coat lies on the sofa."),
    ("Where can I buy cheap shoes?", "Which shop sells inexpensive footwear?", "Where can I buy cheap wine?"),
    ("He lost his job last week.", "He was fired a few days ago.", "He lost his keys last week."),
    ("The soup needs more salt.", "This broth is not seasoned enough.", "The soup needs a bigger bowl."),
    ("It rained all day in London.", "London had constant wet weather.", "It was quiet all day in London."),
    ("My laptop does not start.", "The computer fails to boot up.", "My car does not start."),
    ("They got married in June.", "Their wedding was early in the summer.", "They got paid in June."),
    (
        "The company made a loss this year.",
        "The firm's annual results were negative.",
        "The company made a film this year.",
    ),
    ("Can I bring my dog to the hotel?", "Are pets allowed in the guest rooms?", "Can I bring my boss to the hotel?"),
    ("The test was very difficult.", "The exam was extremely hard.", "The test was very short."),
    ("Please send me the invoice.", "Could you mail me the bill?", "Please send me the photos."),
    (
        "The bridge is closed for repairs.",
        "You cannot cross the river because of construction.",
        "The shop is closed for lunch.",
    ),
    ("I am allergic to nuts.", "Almonds and peanuts make me ill.", "I am used to noise."),
    (
        "The museum is free on Sundays.",
        "You need no ticket at the weekend to see the exhibits.",
        "The car park is full on Sundays.",
    ),
    ("He plays the violin well.", "He is a skilled string musician.", "He plays the lottery often."),
    ("The phone battery dies quickly.", "My mobile runs out of power fast.", "The phone box vanished quickly."),
    ("The baby is crying.", "The infant is in tears.", "The baby is sleeping."),
    ("Prices rose sharply in March.", "There was strong inflation in the spring.", "Prices are printed in March."),
    ("We moved to a bigger house.", "Our new home has more space.", "We walked to a bigger lake."),
    ("The thief ran away from the police.", "The burglar escaped the officers.", "The boy ran away from the dog."),
    ("The film made me cry.", "I wept at the movie.", "The film made me sleepy."),
    ("How tall is the tower?", "What is the height of the building?", "How old is the tower?"),
    ("The plane landed safely.", "The aircraft touched down without problems.", "The plane ticket arrived safely."),
    ("She speaks three languages.", "She is trilingual.", "She owns three bicycles."),
    (
        "The water is too cold to swim.",
        "The lake is freezing, do not bathe in it.",
        "The water is too expensive to waste.",
    ),
    ("I forgot to pay the rent.", "I did not transfer the money to my landlord.", "I forgot to feed the cat."),
    ("The meeting was cancelled.", "The appointment will not take place.", "The meeting was recorded."),
    ("He broke his leg on holiday.", "He fractured a bone during his vacation.", "He broke his record on holiday."),
    ("This road leads to the sea.", "Follow this street to reach the coast.", "This road leads to the mine."),
    ("The children are playing outside.", "Kids are having fun in the garden.", "The children are eating outside."),
    ("The government raised taxes.", "Citizens must now pay more to the state.", "The government raised flags."),
    ("My flight was overbooked.", "There were not enough seats on the plane.", "My flight was beautiful."),
    ("The knife is not sharp.", "The blade is blunt.", "The picture is not sharp."),
    ("I have a headache.", "My head hurts.", "I have a suitcase."),
    ("The library closes at eight.", "You can borrow books until 8 pm.", "The kettle boils at eight."),
    ("He writes novels for a living.", "He is a professional author of fiction.", "He bakes bread for a living."),
    ("The garden is full of flowers.", "Many roses and tulips bloom in the yard.", "The garden is full of rubbish."),
)
