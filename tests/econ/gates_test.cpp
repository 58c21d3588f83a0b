// The frozen gates: digests, parity with the program that trained them, and the four safety invariants.
#include "actors/econ/gates.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "actors/datapack/builder.hpp"
#include "messages/hash.hpp"
#include "storage/datapack_json.hpp"
#include "tests/support/random_values.hpp"

using namespace drover;
using namespace drover::gates;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

constexpr std::array<const char*, 4> names{"econ_lattice.toml", "lambda_budget.toml", "manifest.toml",
                                           "trust_net.toml"};

std::string source_dir() {
  const char* dir = std::getenv("DROVER_SOURCE_DIR");
  return dir == nullptr ? "." : dir;
}

std::string shipped() {
  return source_dir() + "/configs/gates";
}

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// A copy of the shipped gates that a test may damage.
struct Copy {
  Copy() {
    char pattern[] = "/tmp/drover-gates-XXXXXX";
    dir = mkdtemp(pattern);
    for (const char* name : names) write(dir / name, read(fs::path(shipped()) / name));
  }
  ~Copy() { fs::remove_all(dir); }
  fs::path dir;
};

std::shared_ptr<const Gates> must_load() {
  const auto gates = Gates::load(shipped());
  REQUIRE_MESSAGE(gates, (gates ? "" : gates.error().message()));
  return *gates;
}

const json& vectors() {
  static const json all = json::parse(read(source_dir() + "/tests/econ/gates_vectors.json"));
  return all;
}

Datapack pack_of(const json& value) {
  auto pack = storage::datapack_from_json(value.dump());
  REQUIRE_MESSAGE(pack, (pack ? "" : pack.error().message()));
  return *pack;
}

Datapack physics() {
  for (const json& one : vectors()["trust"])  // an episode, then a copy of it with other energy, and so on
    if (one["pack"]["task_name"] == "drawer_vase") return pack_of(one["pack"]);
  return {};
}

// A net that answers the same trust to everything it can judge.
TrustNet constant_net(double trust) {
  const TaskNet shape{"drawer_vase", "mujoco", {}, {}, {}, {}, {}, {}, {}, {}, {}, {}};
  const size_t n = figure_names(shape).size();
  const auto numbers = [](size_t count, double value) { return json(std::vector<double>(count, value)).dump(); };
  std::string text = "format = 1\nthreshold = 0.9\n[[net]]\ntask_name = \"drawer_vase\"\nengine_type = \"mujoco\"\n";
  text += "skills = []\njoints = []\nfigures = " + json(figure_names(shape)).dump() + "\n";
  text += "low = " + numbers(n, -1e9) + "\nhigh = " + numbers(n, 1e9) + "\n";
  text += "mean = " + numbers(n, 0) + "\nscale = " + numbers(n, 1) + "\n";
  text += "hidden = [" + numbers(n + 1, 0) + "]\noutput = [0.0, 0.5]\nlogits = [0.0, 1.0]\n";
  text += "scores = " + json(std::vector<double>{trust, trust}).dump() + "\n";
  auto net = TrustNet::parse(text, "test");
  REQUIRE_MESSAGE(net, (net ? "" : net.error().message()));
  return *net;
}

// A random lattice that the reader accepts.
std::string random_lattice(test::Rng& rng) {
  std::string text = "format = 1\nnovelty_unknown = 0.5\n";
  for (const auto name : lattice_input_names) {
    const size_t knots = 2 + test::below(rng, 6);
    std::vector<double> at, steps;
    for (size_t k = 0; k < knots; ++k) at.push_back((at.empty() ? -2 : at.back()) + test::number(rng, 0.01, 1));
    for (size_t k = 1; k < knots; ++k) steps.push_back(test::chance(rng, 3) ? 0 : test::number(rng, 0, 2));
    text += "[calibrate." + std::string(name) + "]\nat = " + json(at).dump() + "\nsteps = " + json(steps).dump() + "\n";
  }
  for (size_t set = 0; set < 16; ++set) {
    std::vector<std::string> inputs;
    for (size_t i = 0; i < lattice_inputs; ++i)
      if ((set >> i & 1) != 0) inputs.emplace_back(lattice_input_names[i]);
    text += "[[mass]]\ninputs = " + json(inputs).dump() + "\nweight = " + json(test::number(rng, 0, 1)).dump() + "\n";
  }
  return text;
}

EconInputs random_inputs(test::Rng& rng) {
  const auto value = [&] { return test::chance(rng, 20) ? test::finite(rng) : test::number(rng, -2, 2); };
  return {value(), value(), value(), test::unit(rng), ""};
}

}  // namespace

TEST_CASE("gates: the shipped files are those that their manifest records") {
  const auto gates = must_load();
  CHECK(gates->files().size() == 3);
  for (const auto& [name, digest] : gates->files())
    CHECK(to_hex(sha256(as_bytes(read(fs::path(shipped()) / name)))) == digest);
  CHECK(gates->id() == to_hex(sha256(as_bytes(read(fs::path(shipped()) / "manifest.toml")))));
  CHECK(gates->trust_net().threshold() == 0.9);
  CHECK(gates->budget() == LambdaBudget{0.20, 0.40});
  CHECK(Gates::load(shipped(), gates->id()));
}

TEST_CASE("gates: any other byte in any file stops the load, and says which file") {
  const std::string id = must_load()->id();
  const uint32_t seed = 20260207;
  INFO("seed ", seed);
  std::mt19937 random(seed);
  const Copy copy;
  for (const char* name : names) {
    const std::string good = read(copy.dir / name);
    for (int i = 0; i < 40; ++i) {
      std::string bad = good;
      const size_t at = random() % bad.size();
      bad[at] = static_cast<char>(bad[at] ^ (1 << random() % 8));
      if (i == 0) bad = good.substr(0, random() % good.size());
      if (i == 1) bad = good + "\n";
      write(copy.dir / name, bad);
      const auto gates = Gates::load(copy.dir.string(), id);
      REQUIRE_FALSE(gates);
      CHECK(gates.error().code == Errc::conflict);
      CHECK(gates.error().where.find(name) != std::string::npos);
      if (std::string(name) != "manifest.toml") CHECK_FALSE(Gates::load(copy.dir.string()));  // also without the pin
    }
    write(copy.dir / name, good);
  }
  CHECK(Gates::load(copy.dir.string(), id));
}

TEST_CASE("gates: a file that is missing, or a manifest of other files, is an error") {
  for (const char* name : names) {
    const Copy copy;
    fs::remove(copy.dir / name);
    const auto gates = Gates::load(copy.dir.string());
    REQUIRE_FALSE(gates);
    CHECK(gates.error().code == Errc::not_found);
  }
  const Copy copy;
  const std::string manifest = read(copy.dir / "manifest.toml");
  write(copy.dir / "manifest.toml", manifest + "\"extra.toml\" = \"" + std::string(64, 'a') + "\"\n");
  CHECK(Gates::load(copy.dir.string()).error().message().find("extra.toml") != std::string::npos);
  write(copy.dir / "manifest.toml", "format = 2\n[sha256]\n");
  CHECK(Gates::load(copy.dir.string()).error().code == Errc::unsupported_version);
}

TEST_CASE("gates: figures, trust and weights are those of the program that trained them") {
  const auto gates = must_load();
  size_t passed = 0;
  for (const json& one : vectors()["trust"]) {
    const Datapack pack = pack_of(one["pack"]);
    const TaskNet* net = gates->trust_net().find(pack);
    REQUIRE(net != nullptr);
    CHECK(figures(pack, *net) == one["figures"].get<std::vector<double>>());
    const Judgement judged = gates->trust_net().judge(pack);
    CHECK(judged.trust == doctest::Approx(one["trust"].get<double>()).epsilon(1e-9));
    passed += judged.passed ? 1 : 0;
  }
  CHECK(passed > 0);
  CHECK(passed < vectors()["trust"].size());  // the damaged copies among them do not
  for (const json& one : vectors()["lattice"])
    CHECK(gates->lattice().weight({one["delta_mpl"], one["delta_error"], one["delta_ep"], one["novelty"], ""}) ==
          doctest::Approx(one["weight"].get<double>()).epsilon(1e-12));
}

TEST_CASE("gates/invariant 1: nothing synthetic is weighted that the trust gate has not passed") {
  CHECK_FALSE(constant_net(0.899999).judge(physics()).passed);
  CHECK(constant_net(0.9).judge(physics()).passed);
  const auto gates = must_load();
  test::Rng rng(20260208);
  size_t weighted = 0;
  for (int i = 0; i < 400; ++i) {
    const auto& trust = vectors()["trust"];
    Datapack pack = pack_of(trust[test::below(rng, trust.size())]["pack"]);
    if (test::chance(rng, 3)) pack.energy.total_Wh *= test::number(rng, 0, 3);
    if (test::chance(rng, 5)) pack.condition.engine_type = test::pick(rng, {"pybullet", "isaac", "ue5", "real"});
    if (test::chance(rng, 5)) pack.task_name = "unknown_task";
    if (test::chance(rng, 5)) pack.attribution.source_type = SourceType::hybrid;
    if (test::chance(rng, 9)) pack.attribution.source_type = SourceType::real;
    if (test::chance(rng, 9)) pack.energy.total_Wh = std::numeric_limits<double>::quiet_NaN();
    pack.attribution.trust_score = 1;  // what a record says of itself counts nothing
    const Weight w = gates->weigh(pack);
    const bool real = pack.attribution.source_type == SourceType::real && pack.condition.engine_type == "real";
    if (real) {
      CHECK(w.trust.trust == 1);
    } else if (w.trust.trust < 0.9) {
      CHECK(w.w_econ == 0);
      CHECK(w.w_quality == 0);
    } else {
      CHECK(w.w_quality > 0);
      ++weighted;
    }
  }
  CHECK(weighted > 0);
  CHECK_FALSE(TrustNet::parse("format = 1\nthreshold = 0.5\nnet = []\n", "test"));  // no file can lower the bar
}

TEST_CASE("gates/invariant 2: the lattice never falls in dMPL, -dError and dEP, whatever file it is from") {
  test::Rng rng(20260209);
  std::vector<EconLattice> lattices{must_load()->lattice()};
  for (int i = 0; i < 30; ++i) {
    auto lattice = EconLattice::parse(random_lattice(rng), "test");
    REQUIRE_MESSAGE(lattice, (lattice ? "" : lattice.error().message()));
    lattices.push_back(*lattice);
  }
  size_t risen = 0;
  for (const EconLattice& lattice : lattices)
    for (int i = 0; i < 2000; ++i) {
      const EconInputs low = random_inputs(rng);
      EconInputs high = low;
      if (test::chance(rng, 2)) high.delta_mpl += test::number(rng, 0, 1);
      if (test::chance(rng, 2)) high.delta_error -= test::number(rng, 0, 1);
      if (test::chance(rng, 2)) high.delta_ep += test::number(rng, 0, 1);
      const double a = lattice.weight(low);
      const double b = lattice.weight(high);
      CHECK(a >= 0);
      CHECK(b >= a * (1 - 1e-12));  // sums of doubles, rounded
      risen += b > a ? 1 : 0;
    }
  CHECK(risen > 10'000);
  const auto accepted = [](const char* step, const char* mass) {
    std::string text = "format = 1\nnovelty_unknown = 0.5\n";
    for (const auto name : lattice_input_names)
      text += "[calibrate." + std::string(name) + "]\nat = [0, 1, 2]\nsteps = [0.5, " + step + "]\n";
    text += std::string("[[mass]]\ninputs = [\"delta_mpl\"]\nweight = ") + mass + "\n";
    return EconLattice::parse(text, "test").has_value();
  };
  CHECK(accepted("0.5", "0.5"));
  CHECK(accepted("0", "0"));
  CHECK_FALSE(accepted("-0.1", "0.5"));  // not monotone: cannot even be read
  CHECK_FALSE(accepted("0.5", "-0.1"));
}

TEST_CASE("gates/invariant 2: w_quality is trust times w_econ, and a brick scales it") {
  const auto gates = must_load();
  const Datapack pack = physics();
  const Weight w = gates->weigh(pack, 0.5);
  const Attribution& a = pack.attribution;
  REQUIRE(w.trust.passed);
  CHECK(w.w_econ == gates->lattice().weight({a.delta_mpl, a.delta_error, a.delta_ep, 0.5, ""}));
  CHECK(w.w_quality == w.trust.trust * w.w_econ);
  test::Rng rng(1);
  auto bricked = EconLattice::parse(random_lattice(rng) + "[brick]\nb1 = 0.5\n", "test");
  REQUIRE(bricked);
  EconInputs in{0.1, 0, 0.1, 0.5, "other"};
  const double whole = bricked->weight(in);
  in.brick_id = "b1";
  CHECK(bricked->weight(in) == doctest::Approx(whole / 2));
  CHECK_FALSE(EconLattice::parse(random_lattice(rng) + "[brick]\nb1 = -1\n", "test"));
}

TEST_CASE("gates/invariant 3: lambda is a budget over the whole, at 0.20 and never above 0.40") {
  const LambdaBudget budget = must_load()->budget();
  test::Rng rng(20260210);
  for (int i = 0; i < 20'000; ++i) {
    const double real = test::chance(rng, 8) ? 0 : test::number(rng, 0, 1000);
    const double synthetic = test::number(rng, 0, 1000);
    const double kept = synthetic * budget.scale(real, synthetic);
    CHECK(kept <= synthetic);
    if (kept > 0) CHECK(kept / (real + kept) <= 0.20 + 1e-12);
    const double most = budget.synthetic_weight_max(real, test::number(rng, -1, 2));
    if (most > 0) CHECK(most / (real + most) <= 0.40 + 1e-12);
  }
  CHECK(budget.scale(0, 5) == 0);  // synthetic data never stands alone
  CHECK(budget.scale(80, 20) == doctest::Approx(1));
  CHECK(budget.scale(80, 40) == doctest::Approx(0.5));
  CHECK(budget.synthetic_weight_max(60, 0.9) == doctest::Approx(40));  // asked for more, given the cap
  CHECK(budget.synthetic_weight_max(NAN) == 0);
  CHECK_FALSE(parse_lambda_budget("format = 1\ntarget_share = 0.2\ncap_share = 0.41\n", "test"));
  CHECK_FALSE(parse_lambda_budget("format = 1\ntarget_share = 0.3\ncap_share = 0.25\n", "test"));
  // A budget, no gate: a single record's weight does not depend on how many others there are.
  CHECK(must_load()->weigh(physics()).w_quality == must_load()->weigh(physics()).w_quality);
}

TEST_CASE("gates/invariant 4: loading and weighing leave the files as they are, and every weight is on record") {
  const Copy copy;
  const auto gates = Gates::load(copy.dir.string());
  REQUIRE(gates);
  Datapack pack = physics();
  REQUIRE((*gates)->apply(pack, datapack::expected_delta_J(pack.attribution.delta_J)));
  for (const char* name : names) CHECK(read(copy.dir / name) == read(fs::path(shipped()) / name));
  const Attribution& a = pack.attribution;
  CHECK(validate(pack));
  CHECK(a.trust_score >= 0.9);
  CHECK(*a.econ_weight_final == a.trust_score * a.w_econ);
  CHECK(*a.mvd_score == a.trust_score * a.w_econ * std::abs(a.delta_J));
  CHECK(a.lambda_budget == 0.20);
  const json metrics = json::parse(pack.episode_metrics_json);
  CHECK(metrics["gates"] == (*gates)->id().substr(0, 16));
  CHECK(metrics["trust_source"] == "gate:net");
  CHECK(metrics["w_econ_source"] == "lattice");
  CHECK(difference(pack, **gates).empty());
  pack.attribution.w_econ *= 1.5;
  CHECK(difference(pack, **gates).find("w_econ") == 0);
}

TEST_CASE("gates: a record from outside of anything seen is not judged, and says which figure") {
  const auto gates = must_load();
  Datapack pack = physics();
  pack.energy.total_Wh *= 1000;
  const Judgement judged = gates->trust_net().judge(pack);
  CHECK(judged.trust == 0);
  CHECK(judged.why.rfind("outside:", 0) == 0);
  pack.skill_trace.clear();
  CHECK_FALSE(gates->trust_net().judge(pack).passed);
  Datapack real;
  real.condition.engine_type = "real";
  real.attribution.source_type = SourceType::real;
  CHECK(gates->trust_net().judge(real).why == "real");
  CHECK(gates->weigh(real).lambda_budget == 0);
  pack.episode_metrics_json = "[1]";
  CHECK_FALSE(gates->apply(pack, 1));
}
