#include "actors/econ/gates.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "actors/econ/gates_toml.hpp"
#include "messages/hash.hpp"

namespace drover::gates {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 3> file_names{"econ_lattice.toml", "lambda_budget.toml", "trust_net.toml"};

std::string digest_of(std::string_view text) {
  return to_hex(sha256(as_bytes(text)));
}

Status compare(const std::string& path, const std::string& found, const std::string& recorded,
               const char* recorded_in) {
  if (found == recorded) return {};
  return fail(Errc::conflict, path,
              "is not the gate that was frozen: its SHA-256 is " + found + ", " + recorded_in + " records " + recorded +
                  ". Put the frozen file back; gates are never edited in place");
}

// Name -> digest. Exactly the files this program knows.
Result<std::map<std::string, std::string>> parse_manifest(const std::string& text, const std::string& file) {
  DROVER_ASSIGN(const toml::table root, econ::parse_toml(text, file));
  econ::TomlProblems problems(file);
  econ::StrictTable top(root, "", problems);
  DROVER_TRY(check_format(top, file));
  std::map<std::string, std::string> digests;
  const toml::table* recorded = top.table("sha256");
  if (recorded == nullptr) {
    top.problem("sha256", "is missing");
  } else {
    econ::StrictTable table(*recorded, "sha256.", problems);
    for (const std::string_view name : file_names) {
      std::string digest;
      if (table.text(name, digest, true) && !hash_from_hex(digest)) table.problem(name, "must be 64 hex digits");
      digests[std::string(name)] = digest;
    }
    table.finish();
  }
  top.finish();
  DROVER_TRY(problems.status());
  return digests;
}

// An equation that holds for doubles as they were computed; a record from JSON keeps all their bits.
std::string compare(const char* field, double recorded, double derived) {
  if (recorded == derived) return {};
  return std::string(field) + " is " + json(recorded).dump() + ", these gates give " + json(derived).dump();
}

}  // namespace

Result<std::shared_ptr<const Gates>> Gates::load(const std::string& dir, const std::string& manifest_sha256) {
  const std::string manifest = dir + "/manifest.toml";
  DROVER_ASSIGN(const std::string text, econ::read_small_file(manifest));
  std::shared_ptr<Gates> gates(new Gates());
  gates->dir_ = dir;
  gates->id_ = digest_of(text);
  if (!manifest_sha256.empty()) DROVER_TRY(compare(manifest, gates->id_, manifest_sha256, "the configuration"));
  DROVER_ASSIGN(const auto digests, parse_manifest(text, manifest));
  std::map<std::string, std::string> texts;
  for (const auto& [name, digest] : digests) {
    const std::string path = dir + "/" + name;
    DROVER_ASSIGN(texts[name], econ::read_small_file(path));
    DROVER_TRY(compare(path, digest_of(texts[name]), digest, "manifest.toml"));
    gates->files_.emplace_back(name, digest);
  }
  DROVER_ASSIGN(gates->lattice_, EconLattice::parse(texts["econ_lattice.toml"], dir + "/econ_lattice.toml"));
  DROVER_ASSIGN(gates->budget_, parse_lambda_budget(texts["lambda_budget.toml"], dir + "/lambda_budget.toml"));
  DROVER_ASSIGN(gates->trust_, TrustNet::parse(texts["trust_net.toml"], dir + "/trust_net.toml"));
  return gates;
}

Weight Gates::weigh(const Datapack& pack, std::optional<double> novelty) const {
  Weight w;
  w.trust = trust_.judge(pack);
  if (!w.trust.passed) return w;  // trust first
  const Attribution& a = pack.attribution;
  w.w_econ = lattice_.weight({a.delta_mpl, a.delta_error, a.delta_ep, novelty, pack.brick_id});
  w.w_quality = w.trust.trust * w.w_econ;
  w.lambda_budget = is_real(pack) ? 0 : budget_.target_share;
  return w;
}

Status Gates::apply(Datapack& pack, double expected_delta_J) const {
  json metrics = json::parse(pack.episode_metrics_json.empty() ? "{}" : pack.episode_metrics_json, nullptr, false);
  if (!metrics.is_object()) return fail(Errc::invalid_argument, "episode_metrics", "is not a JSON object");
  const Weight w = weigh(pack);
  Attribution& a = pack.attribution;
  a.trust_score = w.trust.trust;
  a.w_econ = w.w_econ;
  a.lambda_budget = w.lambda_budget;
  a.econ_weight_final = w.w_quality;
  a.mvd_score = w.w_quality * expected_delta_J;
  metrics["gates"] = id_.substr(0, 16);
  metrics["trust_source"] = "gate:" + w.trust.why;
  metrics["w_econ_source"] = w.trust.passed ? "lattice" : "lattice:not_trusted";
  pack.episode_metrics_json = metrics.dump(-1, ' ', false, json::error_handler_t::replace);
  return {};
}

std::string difference(const Datapack& pack, const Gates& gates) {
  const Weight w = gates.weigh(pack);
  const Attribution& a = pack.attribution;
  for (std::string wrong : {compare("trust_score", a.trust_score, w.trust.trust), compare("w_econ", a.w_econ, w.w_econ),
                            compare("lambda_budget", a.lambda_budget, w.lambda_budget),
                            compare("econ_weight_final", a.econ_weight_final.value_or(0), w.w_quality)})
    if (!wrong.empty()) return wrong;
  return {};
}

}  // namespace drover::gates
