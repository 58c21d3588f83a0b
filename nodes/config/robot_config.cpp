#include "nodes/config/robot_config.hpp"

namespace drover::nodes {
namespace {

constexpr int64_t MiB = int64_t{1} << 20;
constexpr int64_t GiB = int64_t{1} << 30;
constexpr int64_t TiB = int64_t{1} << 40;

void describe_store(Fields& fields, RobotStoreConfig& store) {
  fields.section("store", "Where this robot keeps everything until the centre has it.");
  fields.path("dir", store.dir, "Folder of the store; made at the first start. One daemon at a time may use it.")
      .required("\"/var/lib/drover/robot\"");
  fields.bytes("map_initial_bytes", store.map_initial_bytes, {.min = MiB, .max = TiB},
               "Address space that the store maps at first; it grows by itself. Costs no disk and no memory.");
  fields.bytes("map_max_bytes", store.map_max_bytes, {.min = 16 * MiB, .max = 16 * TiB},
               "Largest size of the store file. When it is reached capture stops with an alarm.");
  fields.bytes("quota_bytes", store.quota_bytes, {.min = MiB},
               "Most bytes of frames and raw logs kept here. Over it, what the centre already has is evicted, least "
               "value per byte first, with a receipt; if nothing may go, capture stops with an alarm.");
  fields.bytes("free_reserve_bytes", store.free_reserve_bytes, {.min = 0},
               "Free space of the disk that is left alone for the rest of the machine.");
}

void describe_capture(Fields& fields, CaptureConfig& capture) {
  fields.section("capture", "How logs become episodes and datapacks.");
  fields.path("mappings_dir", capture.mappings_dir, "Folder of the mapping files, one per kind of log.");
  fields.path("econ_file", capture.econ_file, "Economic preset: prices, weights and wages that value a datapack.");
  fields.path("baseline_file", capture.baseline_file, "Baselines that an episode is compared with.");
  fields.duration_ms("poll_ms", capture.poll_ms, {.min = 10, .max = 3'600'000},
                     "How often the spool folders are read.");
  fields.number("stable_polls", capture.stable_polls, {.min = 1, .max = 100}, "polls",
                "A file is taken when its size and time did not change for so many polls.");
  fields.flag("skip_duplicates", capture.skip_duplicates,
              "Whether a file with the content of an earlier one is noted and not captured again.");
  fields.flag("segment", capture.segment,
              "Whether episodes are cut into segments and tagged here, while they are captured. What was found travels "
              "with each datapack, and the centre learns from it instead of from skill names.");
  fields.path(
      "semantics_dir", capture.semantics_dir,
      "Folder of the rules for that, configs/semantics as it is shipped. Where there is none, this robot says so "
      "at its start and captures without.");
  fields.tables("spool", capture.spools, {.min = 0, .max = 64},
                "A folder that is watched for finished logs; write one block per folder. Files are never changed.",
                [](Fields& item, SpoolConfig& spool) {
                  item.path("path", spool.path, "The folder.")
                      .required("\"/var/spool/drover\"")
                      .check([](const std::string& text) { return text.empty() ? "must not be empty" : ""; });
                  item.text("mapping", spool.mapping,
                            "Name of the mapping for all its files, or auto to choose one for each file.");
                });
}

void describe_world(Fields& fields, BodyConfig& world) {
  fields.section("world", "A simulated body: the robot acts in it, and every episode is recorded and captured.");
  fields.path("dir", world.dir,
              "Folder of the world, for example worlds/drawer_vase. Empty: this robot has no simulated body.");
  fields.text("set", world.set, "Set of conditions that episodes draw from, or mix: one of the world's for each.");
  fields.text("policy", world.policy, "What acts. script: the world's scripted skills.")
      .check([](const std::string& text) { return text == "script" ? "" : "must be script"; });
  fields.number("seed", world.seed, {.min = 0}, "",
                "Seed of the first episode; the next episode has the next seed. 0: drawn from node.seed and node.id.");
  fields.number("episodes", world.episodes, {.min = 0}, "episodes",
                "How many to run in all, restarts included. 0: without end.");
  fields.duration_ms("pause_ms", world.pause_ms, {.min = 0, .max = 86'400'000}, "Pause between episodes.");
  fields
      .path("recordings_dir", world.recordings_dir,
            "Folder where finished recordings wait to be captured; they are removed when their episode is stored. "
            "One daemon at a time may use it.")
      .check([](const std::string& text) { return text.empty() ? "must not be empty" : ""; });
  fields.number("waiting_max", world.waiting_max, {.min = 1, .max = 1000}, "recordings",
                "No new episode begins while so many recordings wait to be captured.");
  fields.texts("cameras", world.cameras, "Cameras that are recorded. Empty: the world's main camera.");
  fields.number("image_width", world.image_width, {.min = 16, .max = 2048}, "pixels", "Width of a picture.");
  fields.number("image_height", world.image_height, {.min = 16, .max = 2048}, "pixels", "Height of a picture.");
  fields.real("frames_hz", world.frames_hz, {.min = 0, .max = 1000}, "Hz",
              "Pictures per second of each camera, at most one per control step. 0: none. A machine that cannot draw "
              "records without pictures and says so.");
  fields.number("jpeg_quality", world.jpeg_quality, {.min = 1, .max = 100}, "", "Quality of the pictures.");
}

void describe_link(Fields& fields, CoordinatorLinkConfig& link) {
  fields.section("coordinator", "Where records go.");
  fields
      .text("address", link.address,
            "host:port of the coordinator. Empty: this robot only captures, and nothing leaves the machine.")
      .example("\"coordinator.local:7447\"")
      .check([](const std::string& text) { return text.empty() ? "" : check_address(text, false); });
  fields.text("server_name", link.server_name,
              "Name that must be in the coordinator's certificate. Empty: the host of the address.");
}

void describe_sync(Fields& fields, sync::OutboxLimits& outbox, sync::BlobLaneLimits& blobs) {
  fields.section("sync", "How fast records and blobs travel. The centre may ask for less.");
  fields.bytes("window_bytes", outbox.window_bytes, {.min = 64 << 10, .max = 256 * MiB},
               "Most bytes of records sent and not yet acknowledged.");
  fields.bytes("block_max_bytes", outbox.block_max_bytes, {.min = 4 << 10, .max = 16 * MiB},
               "Largest block of records in one call.");
  fields.number("corrupt_max", outbox.corrupt_max, {.min = 1, .max = 1000}, "blocks",
                "Blocks refused as corrupt in a row before the lane halts with an alarm.");
  fields.bytes("blob_budget_bytes_per_s", blobs.budget_bytes_per_s, {.min = 0},
               "Bytes of blobs per second. 0 sends none; records still go.");
  fields.bytes("blob_burst_bytes", blobs.burst_bytes, {.min = 4 << 10, .max = GiB},
               "How much of an unused budget may be sent at once; at least one piece.");
  fields.bytes("blob_piece_bytes", blobs.piece_bytes, {.min = 4 << 10, .max = MiB},
               "Size of one piece of a blob; small, so that control traffic gets in between.");
  fields.number("blob_pieces_max", blobs.pieces_max, {.min = 1, .max = 1024}, "pieces",
                "Pieces sent and not answered.");
  fields.number("blob_wants_max", blobs.wants_max, {.min = 1, .max = 4096}, "chunks",
                "Chunks asked for at a time, most valuable per byte first.");
  fields.duration_ms("blob_idle_ms", blobs.idle_ms, {.min = 10, .max = 3'600'000},
                     "Pause before asking again after the centre wanted nothing.");
}

}  // namespace

void describe(Fields& fields, RobotConfig& config) {
  describe(fields, config.node, "robot-07");
  describe_store(fields, config.store);
  describe_capture(fields, config.capture);
  describe(fields, config.gates, "A robot that captures does not start when one is missing or differs.");
  describe_world(fields, config.world);
  describe_link(fields, config.coordinator);
  describe(fields, config.tls);
  describe_sync(fields, config.outbox, config.blobs);
  fields.section("knowledge", "What this robot accepts from the centre.");
  fields.path("public_key_file", config.knowledge.public_key_file,
              "Ed25519 public key in PEM form; knowledge with another signature is refused. Empty: none is accepted.");
  describe(fields, config.network);
  describe(fields, config.log);
  describe(fields, config.service);
}

void validate(const RobotConfig& config, Problems& problems) {
  if (config.store.map_initial_bytes > config.store.map_max_bytes) {
    problems.add("store.map_initial_bytes", "must not be above store.map_max_bytes");
  }
  if (config.outbox.block_max_bytes > config.outbox.window_bytes) {
    problems.add("sync.block_max_bytes", "must not be above sync.window_bytes");
  }
  if (config.blobs.burst_bytes < config.blobs.piece_bytes) {
    problems.add("sync.blob_burst_bytes", "must be at least sync.blob_piece_bytes");
  }
  for (const SpoolConfig& spool : config.capture.spools)
    if (!config.world.dir.empty() && spool.path == config.world.recordings_dir)
      problems.add("world.recordings_dir", "must not be a capture.spool: what is captured there is never removed");
  validate_network(config.network, problems);
  if (config.coordinator.address.empty()) return;
  for (const auto& [key, file] :
       {std::pair{"tls.ca_file", &config.tls.ca_file}, std::pair{"tls.cert_file", &config.tls.cert_file},
        std::pair{"tls.key_file", &config.tls.key_file}}) {
    if (file->empty()) problems.add(key, "must not be empty when coordinator.address is set");
  }
}

}  // namespace drover::nodes
