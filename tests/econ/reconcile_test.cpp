// Least squares without an order, predictions, true-ups, and what is learnt from them.
#include "actors/econ/reconcile.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "actors/econ/draw.hpp"
#include "actors/econ/study.hpp"

namespace drover::econ {
namespace {

struct Sample {
  std::vector<double> x, y;
};

std::vector<Sample> samples(size_t count, size_t features, uint64_t seed) {
  Draw draw(seed);
  std::vector<Sample> all;
  for (size_t i = 0; i < count; ++i) {
    Sample s;
    s.x.push_back(1);
    while (s.x.size() < features) s.x.push_back(draw.between(-2, 2));
    s.y = {3 * s.x[0] - 2 * s.x[1] + draw.between(-0.1, 0.1), 10 * s.x[2] + draw.between(-1, 1)};
    all.push_back(std::move(s));
  }
  return all;
}

template <class T>
void shuffle(std::vector<T>& all, uint64_t seed) {
  Draw draw(seed);
  for (size_t i = all.size(); i > 1; --i)
    std::swap(all[i - 1], all[static_cast<size_t>(draw.whole(0, static_cast<int64_t>(i) - 1))]);
}

const std::vector<bool> both = {true, true};

Prediction expected(double mean = 0.2) {
  Prediction p;
  p.pack_id = "dp-1";
  p.customer_id = "plant-a";
  p.task_name = "drawer_vase";
  p.made_unix_ns = 1'000;
  p.base_mpl_units_per_h = 40;
  p.delta_mpl = {mean, mean - 0.1, mean + 0.1};
  p.delta_mpl_std = 0.3;
  p.features = features_of({}, 0.5);
  p.kappa = 0.5;
  // 0.5 $ * 0.5 * (0.2 * 40 units/h) * 100 h * S 0.5 = 100 $
  p.terms = QuoteTerms{500'000, 100 * 3'600'000'000'000, 500'000'000, 100'000'000, 400'000'000, "no_share"};
  return p;
}

RealisedOutcome realised(double mpl) {
  RealisedOutcome o;
  o.pack_id = "dp-1";
  o.customer_id = "plant-a";
  o.time_unix_ns = 2'000;
  o.metrics.mpl_units_per_h = mpl;
  return o;
}

}  // namespace

TEST_CASE("econ/regression: any order, and outcomes taken back, give the same bytes") {
  auto all = samples(300, 6, 5);
  std::string expected_bytes;
  for (uint64_t round = 0; round < 10; ++round) {
    if (round > 0) shuffle(all, round);
    Regression r(6, 2);
    const auto extra = samples(50, 6, 100 + round);
    for (size_t i = 0; i < all.size(); ++i) {
      r.add({all[i].x, all[i].y, both});
      if (i < extra.size()) r.add({extra[i].x, extra[i].y, both});
    }
    for (const Sample& s : extra) r.take_back({s.x, s.y, both});
    if (round == 0) expected_bytes = r.save();
    CHECK(r.save() == expected_bytes);
    const auto restored = Regression::restore(r.save());
    REQUIRE(restored.has_value());
    CHECK(*restored == r);
  }
}

TEST_CASE("econ/regression: it is the recursion: gain and covariance step by step give the same coefficients") {
  const size_t n = 4;
  const auto all = samples(200, n, 9);
  Regression r(n, 2);
  // Textbook recursive least squares: P = I / ridge, w = 0; k = P x / (1 + x'P x); w += k (y - x'w); P -= k x'P.
  std::vector<double> p(n * n, 0.0), w(n, 0.0);
  for (size_t i = 0; i < n; ++i) p[i * n + i] = 1 / 0.5;
  for (const Sample& s : all) {
    r.add({s.x, s.y, both});
    std::vector<double> px(n, 0.0);
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j) px[i] += p[i * n + j] * s.x[j];
    double scale = 1, error = s.y[0];
    for (size_t i = 0; i < n; ++i) scale += s.x[i] * px[i], error -= s.x[i] * w[i];
    for (size_t i = 0; i < n; ++i) w[i] += px[i] / scale * error;
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j) p[i * n + j] -= px[i] * px[j] / scale;
  }
  const auto got = r.coefficients(0, {0.5, 0, 1, 4});
  for (size_t i = 0; i < n; ++i) CHECK(got[i] == doctest::Approx(w[i]).epsilon(1e-5));
  CHECK(got[0] == doctest::Approx(3).epsilon(0.02));
  CHECK(got[1] == doctest::Approx(-2).epsilon(0.02));
  const auto answer = r.ask(0, all[0].x, {0.5, 0, 1, 4});
  CHECK(answer.std < 0.2);
  CHECK(answer.leverage < 0.2);
}

TEST_CASE("econ/regression: without outcomes it says what was believed; damaged states are errors") {
  Regression r(3, 1);
  const auto answer = r.ask(0, {1, 2, 3}, {1, 7, 0.5, 4});
  CHECK(answer.mean == 7);
  CHECK(answer.std == doctest::Approx(0.5));
  CHECK(answer.leverage == 14);
  const std::string bytes = r.save();
  for (size_t size = 0; size < bytes.size(); ++size) CHECK(!Regression::restore(bytes.substr(0, size)));
  CHECK(!Regression::restore(bytes + "x"));
}

TEST_CASE("econ/prediction: JSON there and back, bit for bit; unknown keys and broken rules are named") {
  Prediction p = expected(0.1 + 1e-17);
  p.features[3] = 1.0 / 3;
  const auto back = prediction_from_json(to_json(p));
  REQUIRE_MESSAGE(back.has_value(), back.error().message());
  CHECK(*back == p);
  CHECK(to_json(*back) == to_json(p));
  std::string text = to_json(p);
  text.insert(1, "\"spare\":1,");
  CHECK(prediction_from_json(text).error().where == "spare");
  for (size_t size = 0; size < to_json(p).size(); ++size) CHECK(!prediction_from_json(to_json(p).substr(0, size)));
  Prediction bad = p;
  bad.kappa = 1.5;
  CHECK(prediction_from_json(to_json(bad)).error().where == "kappa");
  bad = p;
  bad.delta_mpl.low = 2;
  CHECK(validate(bad).error().where == "delta_mpl");
  bad = p;
  bad.terms->withheld_parts = share_parts + 1;
  CHECK(validate(bad).error().where == "terms.withheld_parts");
  const RealisedOutcome o = realised(44);
  CHECK(outcome_from_json(to_json(o)).value() == o);
}

TEST_CASE("econ/reconcile: too much was quoted: refund; too little: charge, never above the cap") {
  const auto fell_short = reconcile(expected(), realised(42), 1.645);  // +5 % of 40: 2 units/h: 0.5*2*100*0.5 = 50 $
  REQUIRE(fell_short.has_value());
  CHECK(fell_short->quoted == 100'000'000);
  CHECK(fell_short->earned == 50'000'000);
  CHECK(fell_short->true_up == 50'000'000);
  CHECK(fell_short->error_delta_mpl == doctest::Approx(-0.15));
  CHECK(fell_short->inside_interval);
  const auto better = reconcile(expected(), realised(50), 1.645);  // 10 units/h: 250 $
  CHECK(better->true_up == -150'000'000);
  const auto far_better = reconcile(expected(), realised(400), 1.645);
  CHECK(far_better->earned == 400'000'000);
  CHECK(far_better->true_up == -300'000'000);
  CHECK(!far_better->inside_interval);
  const auto worse = reconcile(expected(), realised(10), 1.645);  // nothing was gained: all of it comes back
  CHECK(worse->true_up == 100'000'000);
  RealisedOutcome other = realised(42);
  other.customer_id = "plant-b";
  CHECK(!reconcile(expected(), other, 1));
  RealisedOutcome silent = realised(42);
  silent.metrics = {};
  CHECK(!reconcile(expected(), silent, 1));
}

TEST_CASE("econ/reconcile: the starting model expects no change; outcomes teach, whatever their order") {
  const ReconcileConfig config;
  struct Pair {
    Prediction prediction;
    RealisedOutcome outcome;
  };
  std::vector<Pair> pairs;
  Draw draw(3);
  const Estimator start(config);
  for (int i = 0; i < 200; ++i) {
    AskedPrediction asked;
    asked.pack_id = "dp-" + std::to_string(i);
    asked.task_name = "t";
    asked.basis = basis_deployment;
    asked.base_mpl_units_per_h = draw.between(80, 120);
    asked.condition.occlusion_level = draw.unit();
    asked.condition.tags_json = i % 2 == 0 ? R"({"kind":"easy"})" : R"({"kind":"hard"})";
    Pair pair{start.predict(asked), {}};
    CHECK(pair.prediction.delta_mpl.mean == 0);
    CHECK(pair.prediction.mpl_units_per_h.mean == asked.base_mpl_units_per_h);
    CHECK(pair.prediction.kappa == 0);
    pair.outcome.pack_id = asked.pack_id;
    pair.outcome.measured = false;
    pair.outcome.metrics.mpl_units_per_h =
        (i % 2 == 0 ? 150 : 70) - 20 * asked.condition.occlusion_level + draw.between(-3, 3);
    pairs.push_back(std::move(pair));
  }
  std::string bytes;
  for (uint64_t round = 0; round < 10; ++round) {
    if (round > 0) shuffle(pairs, round);
    Estimator e(config);
    for (const Pair& p : pairs) e.teach(p.prediction, p.outcome);
    if (round == 0) bytes = e.save("deployment:t");
    CHECK(e.save("deployment:t") == bytes);
    CHECK(e.outcomes("deployment:t") == 200);
    AskedPrediction asked;
    asked.pack_id = "new";
    asked.task_name = "t";
    asked.basis = basis_deployment;
    asked.base_mpl_units_per_h = 100;
    asked.condition.occlusion_level = 0.5;
    asked.condition.tags_json = R"({"kind":"easy"})";
    const Prediction good = e.predict(asked);
    CHECK(good.delta_mpl.mean == doctest::Approx(0.4).epsilon(0.05));
    CHECK(good.kappa > 0.8);
    CHECK(good.kappa <= 1);
    CHECK(good.delta_mpl_std < 0.1);
    CHECK(validate(good).has_value());
    asked.condition.tags_json = R"({"kind":"hard"})";
    CHECK(e.predict(asked).delta_mpl.mean == doctest::Approx(-0.4).epsilon(0.1));
    CHECK(e.predict(asked).kappa == 0);
    // What ends up in the tags afterwards must not tell.
    const auto before = features_of(asked.condition, 0);
    asked.condition.tags_json = R"({"kind":"hard","template":"failure"})";
    CHECK(features_of(asked.condition, 0) == before);
  }
}

TEST_CASE("econ/reconcile: errors larger than promised widen the intervals") {
  const ReconcileConfig config;
  Estimator e(config);
  CHECK(e.calibration("data:drawer_vase") == 1);
  for (int i = 0; i < 200; ++i) {
    Prediction p = expected(0);
    p.delta_mpl_std = 0.1;
    RealisedOutcome o = realised(0);
    o.metrics.delta_mpl = i % 2 == 0 ? 0.3 : -0.3;  // three times the std that was promised
    e.teach(p, o);
  }
  CHECK(e.calibration("data:drawer_vase") == doctest::Approx(3).epsilon(0.1));
}

TEST_CASE("econ/reconcile: which prediction and outcome count") {
  Prediction early = expected(), late = expected();
  late.made_unix_ns += 1;
  CHECK(counts_before(early, late));
  CHECK(!counts_before(late, early));
  RealisedOutcome first = realised(1), second = realised(2), own = realised(3);
  second.time_unix_ns += 1;
  own.measured = false;
  own.time_unix_ns += 100;
  CHECK(counts_before(second, first));
  CHECK(counts_before(first, own));
}

TEST_CASE("econ/reconcile: tier thresholds go where errors begin, and stay without evidence") {
  const ReconcileConfig config;
  CHECK(adjust_thresholds(config, {}).novelty_min == config.novelty_default);
  std::vector<Surprise> all;
  for (int i = 0; i < 200; ++i) {
    const double novelty = i / 200.0;
    all.push_back({novelty, 0.1, novelty < 0.6 ? 0.1 : 0.5});
  }
  shuffle(all, 8);
  const AdjustedThresholds t = adjust_thresholds(config, all);
  CHECK(t.novelty_min > 0.1);
  CHECK(t.novelty_min <= 0.6);
  CHECK(t.causal_gain_min == config.causal_gain_default);
  CHECK(t.why.find("novelty: errors are") == 0);
  for (Surprise& s : all) s.abs_error = 0.2;  // the same everywhere
  CHECK(adjust_thresholds(config, all).novelty_min == config.novelty_default);
}

TEST_CASE("econ/reconcile: configuration is strict, and the shipped file is the defaults") {
  const auto shipped =
      load_reconcile(std::string(std::getenv("DROVER_SOURCE_DIR") ? std::getenv("DROVER_SOURCE_DIR") : ".") +
                     "/configs/econ/reconciliation.toml");
  REQUIRE_MESSAGE(shipped.has_value(), shipped.error().message());
  CHECK(shipped->currency == "USD");
  CHECK(shipped->confidence_z == ReconcileConfig{}.confidence_z);
  const auto wrong = parse_reconcile("ridge = 0\nspare = 1\ncurrency = \"usd\"\n[[customer]]\nrobot = \"a\"\n", "f");
  REQUIRE(!wrong);
  for (const char* part : {"f:1: ridge", "spare", "currency", "customer.customer_id"})
    CHECK_MESSAGE(wrong.error().message().find(part) != std::string::npos, wrong.error().message());
  const auto c = parse_reconcile(
      "[[customer]]\nrobot = \"*\"\ncustomer_id = \"*\"\nwithheld = 0.25\n"
      "[[customer]]\nrobot = \"r1\"\ncustomer_id = \"plant\"\n",
      "f");
  REQUIRE(c.has_value());
  CHECK(terms_for(*c, "r1").customer_id == "plant");
  CHECK(terms_for(*c, "r2").customer_id == "r2");
  CHECK(terms_for(*c, "r2").withheld == 0.25);
  CHECK(terms_for({}, "r3").customer_id == "r3");
}

TEST_CASE("econ/study: error curves in runs, a short end left out") {
  std::vector<Reconciliation> all(25);
  for (size_t i = 0; i < all.size(); ++i) {
    all[i].realised_delta_mpl = i % 2 == 0 ? 0.4 : -0.4;
    all[i].error_delta_mpl = i < 10 ? -0.3 : 0.1;
  }
  const auto curve = error_curve(all, 10);
  REQUIRE(curve.size() == 3);
  CHECK(curve[0].reconciliations == 10);
  CHECK(curve[0].model == doctest::Approx(0.3));
  CHECK(curve[1].model == doctest::Approx(0.1));
  CHECK(curve[2].reconciliations == 25);
  CHECK(curve[2].start == doctest::Approx(0.4));
  all.resize(24);
  CHECK(error_curve(all, 10).size() == 2);
  CHECK(error_curve({}, 10).empty());
}

TEST_CASE("econ/study: the interval of a reduction holds the truth and is the same for the same seed") {
  Draw draw(12);
  std::vector<HeldOut> held_out;
  for (int i = 0; i < 400; ++i) {
    const double realised = draw.between(-1, 1);
    held_out.push_back({"a", realised + 0.3 * draw.between(-1, 1), realised, true});  // errors 0.3 of the values
  }
  const Reduction r = reduction_of(held_out, {0.5, 0.5, 0.5}, 4);
  CHECK(r.mae_start == doctest::Approx(0.5).epsilon(0.1));
  CHECK(r.mae_model == doctest::Approx(0.15).epsilon(0.1));
  CHECK(r.mae_constant > r.mae_start);
  CHECK(r.low < 0.7);
  CHECK(r.high > 0.7);
  CHECK(r.high - r.low < 0.12);
  CHECK(r.inside == doctest::Approx(1));
  const Reduction again = reduction_of(held_out, {0.5, 0.5, 0.5}, 4);
  CHECK(again.low == r.low);
  CHECK(again.high == r.high);
  CHECK(reduction_of({}, {}, 1).reduction == 0);
}

}  // namespace drover::econ
