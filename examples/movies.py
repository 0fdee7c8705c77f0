"""Films that people may like, from MovieLens: one model expects ratings, another says what somebody watches next.

python -m examples.movies [--small]
"""

import sys

from examples.stack import deploy_if_running
from lepton_ai.datasets import MovieLens
from lepton_ai.models import Recommender

small = "--small" in sys.argv
SOMEBODY, STAR_WARS = "196", "50"

train, test = MovieLens.split()
if small:
    train, test = train[:5000], test[:500]
ratings = Recommender("rating")
ratings.fit(train, epochs=2 if small else 20)
loss, rmse = ratings.evaluate(test)
print(f"Ratings from 1 to 5 are {rmse:.3f} off (RMSE).")
ratings.save("movie-ratings.pth")

watched, newest = MovieLens.split(by="last")
if small:
    watched, newest = watched[:5000], newest[:100]
ranking = Recommender("ranking", kind="two_tower", size=64, dropout=0.1)
ranking.fit(watched, epochs=1 if small else 8, batch_size=256, learning_rate=1e-3, weight_decay=0.01)
figures = ranking.evaluate(newest).metrics
print(f"The film watched next is among ten recommended ones for {figures['hit_rate']:.1%} of all people;", end=" ")
print(f"with the ten most popular ones it would be {figures['popularity_hit_rate']:.1%}.")
ranking.save("next-movie.pth")
titles = MovieLens.titles()
print(f"For {SOMEBODY}:", ", ".join(titles[label.name] for label in ranking.recommend(SOMEBODY, 5)))

if client := deploy_if_running("movie-ratings.pth", "movie-ratings"):
    answer = client.predict_batch("movie-ratings", [{"user": SOMEBODY, "item": STAR_WARS}])
    print("Star Wars, as the platform expects it to be rated:", answer.tensors["rating"][0])
    deploy_if_running("next-movie.pth", "next-movie")
    print("And what it recommends:", [titles[each.name] for each in client.predict("next-movie", SOMEBODY).labels])
    client.close()
