// What nodes are told by operators and peers: configuration, queries, publications, certificates, sessions; and store
// files that were damaged.
#include <capnp/message.h>
#include <capnp/rpc-twoparty.h>
#include <fcntl.h>
#include <kj/async-io.h>
#include <sys/mman.h>
#include <unistd.h>

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <filesystem>
#include <thread>

#include "actors/fleet/publish.hpp"
#include "actors/fleet/query.hpp"
#include "actors/network/authority.hpp"
#include "actors/network/link_stream.hpp"
#include "actors/network/listener.hpp"
#include "actors/network/peer_name.hpp"
#include "actors/runtime/simulation.hpp"
#include "messages/record.hpp"
#include "messages/schema/session.capnp.h"
#include "storage/env.hpp"
#include "storage/journal.hpp"
#include "stress/fuzz/target.hpp"
#include "tests/support/random_values.hpp"

#ifdef DROVER_FUZZ_CONFIG
#include "nodes/config/load.hpp"
#endif

namespace drover::fuzz {
namespace {

namespace fs = std::filesystem;

// A folder that goes with the process.
class Folder {
 public:
  Folder() {
    const fs::path memory = "/dev/shm";
    std::error_code ignored;
    path_ = ((fs::is_directory(memory, ignored) ? memory : fs::temp_directory_path()) / "drover-fuzz-XXXXXX").string();
    DROVER_CHECK(mkdtemp(path_.data()) != nullptr, "no temporary folder");
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A small central store: packs, episodes, an event, one record that is none.
class SmallStore {
 public:
  SmallStore() {
    sync::CentralStoreOptions options;
    options.path = folder_.path();
    options.sync = storage::Sync::nosync;
    options.map_initial_bytes = 1u << 20;
    auto opened = sync::CentralStore::open(options);
    DROVER_CHECK(opened.has_value(), "no store");
    store_ = std::move(*opened);
    test::Rng rng(7);
    BlockBuilder builder(1);
    for (size_t i = 0; i < 10; ++i) {
      Datapack pack = test::random_datapack(rng);
      pack.provenance.robot = "robot-1";
      (void)builder.add(RecordKind::datapack, 1, 5, encode(pack));
      Episode episode = test::random_episode(rng);
      episode.robot = "robot-1";
      episode.episode_id = test::labelled("episode-", i);
      (void)builder.add(RecordKind::episode, 1, 5, encode(episode));
    }
    (void)builder.add(RecordKind::event, 1, 5, encode(Event{5, "disk", "warning", "robot", "\"odd\xff"}));
    (void)builder.add(RecordKind::episode, 1, 5, as_bytes("no episode at all"));
    const sync::StreamId stream{"robot-1", 77};
    auto block = Block::parse(builder.finish());
    DROVER_CHECK(store_->open_stream(stream, 1000) && block, "the store takes no stream");
    const storage::Incoming incoming{"robot-1", 77, std::move(*block), 2000};
    DROVER_CHECK(store_->append(std::span(&incoming, 1)).has_value(), "the store takes no block");
    while (store_->apply(stream, 1u << 20).value_or(sync::Applied{}).more) continue;
  }
  const sync::CentralStore& store() const { return *store_; }

 private:
  Folder folder_;
  std::unique_ptr<sync::CentralStore> store_;
};

void query(ByteView bytes) {
  static const SmallStore small;
  const auto reply = fleet::answer_query(small.store(), as_text(bytes), {64 << 10});
  DROVER_CHECK(!reply || reply->size() <= 64 << 10, "a reply over its bound");
}

void publish(ByteView bytes) {
  (void)fleet::is_publish(as_text(bytes));
  const auto request = fleet::parse_publish(as_text(bytes), "operator/ops");
  if (!request) return;
  const std::string written = fleet::publish_json(*request);
  const auto again = fleet::parse_publish(written, "operator/ops");
  DROVER_CHECK(again && fleet::publish_json(*again) == written, "reading and writing changes a publication");
}

// A common name in front of a PEM text; either may be anything.
void certificate(ByteView bytes) {
  const std::string_view text = as_text(bytes);
  const auto name = network::parse_common_name(text.substr(0, text.find('\n')));
  if (name) DROVER_CHECK(network::parse_common_name(name->text()) == *name, "reading and writing changes a name");
  (void)network::describe_certificate(std::string(text));
  (void)network::raw_public_key(std::string(text));
}

// ---- store files

std::string small_journal() {
  const Folder folder;
  storage::EnvOptions options;
  options.path = folder.path();
  options.databases = storage::Journal::databases();
  options.sync = storage::Sync::nosync;
  options.map_initial_bytes = 1u << 20;
  auto env = storage::Env::open(options);
  DROVER_CHECK(env.has_value(), "no store");
  auto journal = storage::Journal::open(*env, {"robot-1", 77});
  DROVER_CHECK(journal.has_value(), "no journal");
  for (int i = 0; i < 6; ++i) {
    const std::string payload(static_cast<size_t>(100 + 1500 * i), 'x');
    const storage::NewRecord record{RecordKind::event, 5, as_bytes(payload)};
    DROVER_CHECK(journal->append(*env, std::span(&record, 1)).has_value(), "the journal takes nothing");
  }
  return read_file(folder.path() + "/data.mdb");
}

// A damaged file is refused before LMDB trusts it; what is not refused can be read to its end.
// The bytes are laid over a good file: pairs of a page offset (2 bytes: multiple of 8) and a value (1 byte).
void store_file(ByteView bytes) {
  static const Folder folder;
  static const std::string good = small_journal();
  std::string file = good;
  for (size_t i = 0; i + 3 <= bytes.size(); i += 3) {
    const size_t at = static_cast<size_t>(bytes[i]) << 8 | static_cast<size_t>(bytes[i + 1]);
    file[at % file.size()] = static_cast<char>(bytes[i + 2]);
  }
  const int out = open((folder.path() + "/data.mdb").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  DROVER_CHECK(out >= 0 && write(out, file.data(), file.size()) == static_cast<ssize_t>(file.size()), "not written");
  close(out);
  storage::EnvOptions options;
  options.path = folder.path();
  options.databases = storage::Journal::databases();
  options.access = storage::Access::read_only;
  const auto env = storage::Env::open(options);
  if (!env) return;
  const auto journal = storage::Journal::open_existing(*env);
  if (!journal) return;
  (void)journal->facts(*env);
  (void)journal->read(*env, 1, 1u << 20);
}

// ---- sessions

// A centre that says yes to everything.
caf::behavior yes_centre(caf::event_based_actor*) {
  using namespace network;
  return {[](const PeerHello&) -> HelloReply { return PeerWelcome{}; },
          [](const PeerAppend& append) -> AppendReply {
            (void)Block::parse(append.block);
            return AppendAck{};
          },
          [](const PeerWants&) -> WantsReply { return ChunkWants{}; },
          [](const PeerChunk& chunk) -> ChunkReply {
            return ChunkAck{chunk.bytes.size(), true};
          },
          [](const PeerKnowledge&) -> KnowledgeReply { return KnowledgeUpdate{}; },
          [](const PeerPing&) -> PingReply { return Pong{}; },
          [](const PeerQuery& query) -> QueryAnswer { return QueryReply{query.request}; },
          [](const PeerGone&) {}};
}

// A listener in memory, and peers that send it bytes.
class Centre {
 public:
  Centre() : simulation_(1), env_(simulation_.environment("centre")), shared_{env_, timer_, inbox_} {
    network::Listen options;
    options.self = {network::Role::coordinator, "centre"};
    options.limits.message_bytes_max = 64 << 10;
    options.limits.block_bytes_max = 32 << 10;
    options.limits.window_bytes = 64 << 10;
    actor_ = env_.spawn(yes_centre);
    port_ = network::Port::make(env_.system(), inbox_);
    network::Port::of(port_).set_handler([](caf::mailbox_element&) {});
    listener_ = kj::heap<network::Listener>(shared_, options, nullptr, port_);
    listener_->set_handler(actor_);
  }
  ~Centre() {
    settle();
    listener_ = nullptr;
    network::Port::of(port_).end({});
    caf::anon_send_exit(actor_, caf::exit_reason::user_shutdown);
    settle();
    inbox_->close();
    wait_scope_.poll();
    simulation_.drain();
  }
  Centre(const Centre&) = delete;
  Centre& operator=(const Centre&) = delete;

  void take(ByteView bytes, const network::PeerName& peer) {
    {
      auto stream = listener_->connect_memory(*wire_, peer);
      DROVER_CHECK(stream.has_value(), "a connection was not let go");
      kj::byte answers[4096];
      bool more = true;
      auto reading = read_all(**stream, answers, more);
      auto writing = (*stream)->write(bytes.data(), bytes.size()).eagerlyEvaluate(nullptr);
      settle();
    }
    settle();
    DROVER_CHECK(listener_->connections() == 0, "a connection stays when its peer is gone");
  }

 private:
  static kj::Promise<void> read_all(kj::AsyncIoStream& stream, kj::ArrayPtr<kj::byte> into, bool& more) {
    return stream.tryRead(into.begin(), 1, into.size())
        .then([&stream, into, &more](size_t size) -> kj::Promise<void> {
          more = size > 0;
          return more ? read_all(stream, into, more) : kj::Promise<void>(kj::READY_NOW);
        })
        .eagerlyEvaluate(nullptr);
  }
  void settle() {
    for (;;) {
      wait_scope_.poll();
      const bool received = inbox_->drain();
      const bool delivered = simulation_.step();
      if (!received && !delivered) break;
    }
    wait_scope_.poll();
  }

  runtime::Simulation simulation_;
  runtime::Environment& env_;
  kj::EventLoop loop_;
  kj::WaitScope wait_scope_{loop_};
  kj::TimerImpl timer_{kj::origin<kj::TimePoint>()};
  std::shared_ptr<network::Inbox> inbox_ = std::make_shared<network::Inbox>();
  network::NetworkShared shared_;
  std::shared_ptr<network::MemoryWire> wire_ = std::make_shared<network::MemoryWire>(timer_);
  caf::actor actor_, port_;
  kj::Own<network::Listener> listener_;
};

// What a peer with a good certificate sends after the handshake. 'o' in front: it is an operator, else a robot.
void session(ByteView bytes) {
  static Centre* centre = nullptr;  // never deleted at the end: the event loop of the thread is gone by then
  static uint32_t used = 0;
  if (bytes.empty()) return;
  if (++used % 1000 == 1) {
    delete centre;
    centre = nullptr;
    centre = new Centre;
  }
  const bool operates = bytes.front() == std::byte{'o'};
  const network::PeerName robot{network::Role::robot, "robot-1"}, ops{network::Role::operator_, "ops"};
  centre->take(bytes.subspan(1), operates ? ops : robot);
}

// ---- seeds

// Keeps what is written, and never reads.
class Tape final : public kj::AsyncIoStream {
 public:
  kj::Promise<size_t> tryRead(void*, size_t, size_t) override { return kj::NEVER_DONE; }
  kj::Promise<void> write(const void* buffer, size_t size) override {
    written.append(static_cast<const char*>(buffer), size);
    return kj::READY_NOW;
  }
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) override {
    for (const auto& piece : pieces) written.append(reinterpret_cast<const char*>(piece.begin()), piece.size());
    return kj::READY_NOW;
  }
  kj::Promise<void> whenWriteDisconnected() override { return kj::NEVER_DONE; }
  void shutdownWrite() override {}
  std::string written;
};

void fill_hello(schema::Hello::Builder hello, bool operates) {
  auto node = hello.initNode();
  node.setNodeId(operates ? "ops" : "robot-1");
  node.setRole(operates ? schema::Role::OPERATOR : schema::Role::ROBOT);
  node.setSoftwareVersion("0.1.0");
  node.setProtocolMin(1);
  node.setProtocolMax(1);
  hello.setIncarnation(operates ? 0 : 77);
  hello.setFirstSeq(operates ? 0 : 1);
  hello.setLastSeq(operates ? 0 : 3);
}

// The calls of a whole session, sent ahead without waiting for answers.
std::string taped_session(bool operates) {
  kj::EventLoop loop;
  kj::WaitScope wait_scope(loop);
  Tape tape;
  capnp::TwoPartyVatNetwork net(tape, capnp::rpc::twoparty::Side::CLIENT);
  auto rpc = capnp::makeRpcClient(net);
  capnp::MallocMessageBuilder message;
  auto vat = message.initRoot<capnp::rpc::twoparty::VatId>();
  vat.setSide(capnp::rpc::twoparty::Side::SERVER);
  auto hello = rpc.bootstrap(vat).castAs<schema::Gate>().helloRequest();
  fill_hello(hello.initHello(), operates);
  auto greeting = hello.send();
  auto session = greeting.getSession();
  std::vector<kj::Promise<void>> calls;
  calls.push_back(session.pingRequest().send().ignoreResult());
  if (operates) {
    auto query = session.queryRequest();
    query.setRequest("{\"call\":\"store.facts\"}");
    calls.push_back(query.send().ignoreResult());
  } else {
    BlockBuilder builder(1);
    (void)builder.add(RecordKind::event, 1, 5, encode(Event{5, "disk", "warning", "robot", "full"}));
    const Bytes block = builder.finish();
    const auto data = [](const Bytes& b) {
      return capnp::Data::Reader(reinterpret_cast<const kj::byte*>(b.data()), b.size());
    };
    auto append = session.appendRequest();
    append.setBlock(data(block));
    calls.push_back(append.send().ignoreResult());
    auto wants = session.wantsRequest();
    wants.setBudgetBytes(1000);
    wants.setMaxItems(3);
    calls.push_back(wants.send().ignoreResult());
    auto chunk = session.chunkRequest();
    chunk.setHash(data(Bytes::copy_of(std::string(32, 'h'))));
    chunk.setSizeBytes(5);
    chunk.setBytes(data(Bytes::copy_of("bytes")));
    calls.push_back(chunk.send().ignoreResult());
    calls.push_back(session.knowledgeRequest().send().ignoreResult());
  }
  wait_scope.poll();
  return (operates ? "o" : "r") + tape.written;
}

// On a thread of their own, because a thread has one event loop.
Seeds session_seeds() {
  Seeds seeds;
  std::thread([&seeds] { seeds = {taped_session(false), taped_session(true)}; }).join();
  return seeds;
}
Seeds query_seeds() {
  Seeds seeds;
  for (const std::string& call : fleet::query_calls()) seeds.push_back("{\"call\":\"" + call + "\"}");
  seeds.push_back(R"({"call":"packs.query","task_name":"drawer","limit":3,"bucket":"positive","mpl_delta_min":0.5})");
  seeds.push_back(R"({"call":"episodes.list","robot":"robot-1","limit":2})");
  return seeds;
}
Seeds publish_seeds() {
  return {
      R"({"call":"knowledge.publish","documents":{"a":{"text":"b"},"c":{"hex":"00ff"}},"remove":["old"],"only":false})"};
}
Seeds store_file_seeds() {
  std::string damage;
  for (int page = 0; page < 8; ++page)
    damage.append({static_cast<char>(page << 4), static_cast<char>(16 + page), static_cast<char>(page)});
  return {"", damage};
}

#ifdef DROVER_FUZZ_CONFIG
// ---- configuration

// A file in memory that parsers can open by name.
class MemoryFile {
 public:
  MemoryFile() : fd_(memfd_create("fuzz", MFD_CLOEXEC)) { DROVER_CHECK(fd_ >= 0, "no memory file"); }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  void hold(ByteView bytes) const {
    const bool held =
        ftruncate(fd_, 0) == 0 && pwrite(fd_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size());
    DROVER_CHECK(held, "memory file not written");
  }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

template <class Config>
void config(ByteView bytes) {
  static const MemoryFile file;
  file.hold(bytes);
  const auto loaded = nodes::load_config<Config>({file.path(), {}});
  if (loaded) (void)nodes::effective_config(*loaded);
}

Seeds robot_config_seeds() {
  return {
      "[node]\nid = \"robot-1\"\n[store]\ndir = \"store\"\nquota_bytes = \"2GiB\"\n[[capture.spool]]\npath = \"in\"\n"
      "[coordinator]\naddress = \"localhost:7447\"\n[network]\nping_period_ms = \"2s\"\n",
      read_file(configs_folder() + "/robot-sim.toml")};
}
Seeds coordinator_config_seeds() {
  return {
      "[node]\nid = \"centre\"\n[store]\ndir = \"store\"\n[listen]\naddress = \"[::1]:0\"\n"
      "[fleet]\nallowed_robots = [\"robot-1\"]\n[log]\nformat = \"json\"\n"};
}
#endif

}  // namespace

std::span<const Target> node_targets() {
  static const std::vector<Target> list = {
#ifdef DROVER_FUZZ_CONFIG
      {"robot_config", "configuration of a robot", "toml", 4096, config<nodes::RobotConfig>, robot_config_seeds},
      {"coordinator_config", "configuration of a coordinator", "toml", 4096, config<nodes::CoordinatorConfig>,
       coordinator_config_seeds},
#endif
      {"query", "questions of operators", "query", 512, query, query_seeds},
      {"publish", "publications of operators", "query", 1024, publish, publish_seeds},
      {"certificate", "names, certificates and keys", "", 2048, certificate, nullptr},
      {"session", "the RPC session of a peer", "", 4096, session, session_seeds},
      {"store_file", "damaged store files", "", 96, store_file, store_file_seeds},
  };
  return list;
}

}  // namespace drover::fuzz
