#include "nodes/config/coordinator_config.hpp"

#include <set>

namespace drover::nodes {
namespace {

constexpr int64_t MiB = int64_t{1} << 20;
constexpr int64_t GiB = int64_t{1} << 30;
constexpr int64_t TiB = int64_t{1} << 40;

void describe_store(Fields& fields, CentralStoreConfig& store) {
  fields.section("store", "Where the records of the whole fleet are kept.");
  fields.path("dir", store.dir, "Folder of the store; made at the first start. One daemon at a time may use it.")
      .required("\"/var/lib/drover/coordinator\"");
  fields.bytes("map_initial_bytes", store.map_initial_bytes, {.min = MiB, .max = TiB},
               "Address space that the store maps at first; it grows by itself. Costs no disk and no memory.");
  fields.bytes("map_max_bytes", store.map_max_bytes, {.min = 16 * MiB, .max = 16 * TiB},
               "Largest size of the store file. When it is reached robots keep their records.");
  fields.bytes("free_reserve_bytes", store.free_reserve_bytes, {.min = 0},
               "Free space of the disk that is left alone for the rest of the machine.");
  fields.duration_ms("commit_delay_max_ms", store.commit_delay_max_ms, {.min = 0, .max = 1000},
                     "How long a batch may wait for others before all are synced to disk together. A batch is "
                     "acknowledged only after its sync.");
  fields.bytes("commit_bytes_max", store.commit_bytes_max, {.min = 64 << 10, .max = 256 * MiB},
               "Bytes of waiting batches that start a sync at once.");
}

void describe_rest(Fields& fields, CoordinatorConfig& config) {
  fields.section("listen", "Where robots and tools connect (mutual TLS).");
  fields.text("address", config.listen_address, "host:port to listen on. Port 0 takes a free one and logs it.")
      .check([](const std::string& text) { return check_address(text, true); });
  fields.section("fleet", "Who may connect.");
  fields.texts("allowed_robots", config.fleet.allowed_robots,
               "Node ids of the robots that may connect. Empty: every robot with a certificate of the authority.");
  describe(fields, config.tls);
  fields.section("blobs", "How frames and raw logs are asked for, most valuable per byte first.");
  fields.bytes("wants_bytes_max", config.blobs.wants_bytes_max, {.min = 64 << 10, .max = GiB},
               "Most bytes asked of one robot at a time.");
  fields.bytes("budget_bytes_per_s", config.blobs.budget_bytes_per_s, {.min = 0},
               "Bytes of blobs per second asked of all robots together. 0 asks for none.");
  fields.section("knowledge", "What goes back to the robots.");
  fields.path("signing_key_file", config.knowledge.signing_key_file,
              "Ed25519 key in PEM form that signs knowledge. Empty: this coordinator publishes none.");
  fields.section("semantics",
                 "What the fleet learns from its episodes: ontology, task graph, trust in tags. Advice only.");
  fields.flag("enabled", config.semantics.enabled, "Whether this coordinator learns.");
  fields.path("configs_dir", config.semantics.configs_dir,
              "Folder of the semantics configuration, configs/semantics as it is shipped. Where there is none, this "
              "coordinator says so at its start and learns nothing.");
  fields.duration_ms("period_ms", config.semantics.period_ms, {.min = 100, .max = 3'600'000},
                     "How often new datapacks are looked for.");
  fields.duration_ms(
      "publish_ms", config.semantics.publish_ms, {.min = 100, .max = 86'400'000},
      "Knowledge that changed is published to the robots at most so often, with knowledge.signing_key_file.");
  fields.section("novelty", "How new each datapack is against what came before it (actors/datapack/NOVELTY.md).");
  fields.flag("enabled", config.novelty.enabled, "Whether this coordinator values datapacks as they come.");
  fields.duration_ms("period_ms", config.novelty.period_ms, {.min = 100, .max = 3'600'000},
                     "How often new datapacks are looked for.");
  fields.number("neighbours", config.novelty.neighbours, {.min = 1, .max = 16}, "datapacks",
                "Nearest earlier datapacks that one is compared with. Changing it values every datapack anew.");
  fields.real(
      "facts_scale", config.novelty.facts_scale, {.min = 0.001, .max = 100}, "",
      "Distance between the facts of two episodes at which 63 % of similarity is lost. Changing it values anew.");
  fields.real("visual_scale", config.novelty.visual_scale, {.min = 0.001, .max = 100}, "",
              "The same between their camera features, root mean square of a number in 0..1. Changing it values anew.");
  describe(fields, config.gates,
           "Where there is none a coordinator says so at its start; where one differs it does not start.");
  fields.section("econ", "The books: what was expected of each deployment, what came of it, and who owes whom.");
  fields.flag("enabled", config.econ.enabled, "Whether this coordinator keeps books.");
  fields.path("config_file", config.econ.config_file,
              "Prices of being wrong and standing terms, configs/econ/reconciliation.toml as it is shipped. Where there "
              "is none, this coordinator says so at its start and keeps no books.");
  fields.duration_ms("period_ms", config.econ.period_ms, {.min = 100, .max = 3'600'000},
                     "How often new datapacks and outcomes are looked for.");
  fields.section("status", "A file for monitoring.");
  fields.path("file", config.status.file,
              "JSON file that is rewritten as a whole with the fleet's state. Empty: none.");
  fields.duration_ms("period_ms", config.status.period_ms, {.min = 100, .max = 3'600'000}, "How often it is written.");
}

}  // namespace

void describe(Fields& fields, CoordinatorConfig& config) {
  describe(fields, config.node, "coordinator");
  describe_store(fields, config.store);
  describe_rest(fields, config);
  describe(fields, config.network);
  describe(fields, config.log);
  describe(fields, config.service);
}

void validate(const CoordinatorConfig& config, Problems& problems) {
  if (config.store.map_initial_bytes > config.store.map_max_bytes) {
    problems.add("store.map_initial_bytes", "must not be above store.map_max_bytes");
  }
  for (const auto& [key, file] :
       {std::pair{"tls.ca_file", &config.tls.ca_file}, std::pair{"tls.cert_file", &config.tls.cert_file},
        std::pair{"tls.key_file", &config.tls.key_file}}) {
    if (file->empty()) problems.add(key, "must not be empty");
  }
  validate_network(config.network, problems);
  std::set<std::string> seen;
  for (const std::string& robot : config.fleet.allowed_robots) {
    if (const std::string wrong = check_node_id(robot); !wrong.empty()) problems.add("fleet.allowed_robots", wrong);
    if (!seen.insert(robot).second) problems.add("fleet.allowed_robots", quote_toml(robot) + " is there twice");
  }
}

}  // namespace drover::nodes
