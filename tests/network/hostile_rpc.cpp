// A peer with a good certificate and its own idea of the protocol: calls before hello, two hellos, lies in hello, giant
// and too many blocks. Speaks Cap'n Proto RPC by hand over real TLS.
#include <capnp/rpc-twoparty.h>
#include <doctest/doctest.h>
#include <kj/async-io.h>

#include "actors/network/rpc_util.hpp"
#include "actors/network/tls.hpp"
#include "messages/schema/session.capnp.h"
#include "tests/network/centre.hpp"

namespace drover::test {
namespace {

struct Peer {
  explicit Peer(uint16_t port, Role role = Role::robot, const std::string& id = "sly", bool speak = true)
      : io(kj::setupAsyncIo()), tls(*make_tls(fleet().issue(role, id))) {
    const std::string address = "127.0.0.1:" + std::to_string(port);
    auto plain =
        io.provider->getNetwork().parseAddress(address.c_str()).wait(io.waitScope)->connect().wait(io.waitScope);
    stream = tls->wrapClient(kj::mv(plain), "centre").wait(io.waitScope);
    if (!speak) return;
    net = kj::heap<capnp::TwoPartyVatNetwork>(*stream, capnp::rpc::twoparty::Side::CLIENT);
    rpc = kj::heap<capnp::RpcSystem<capnp::rpc::twoparty::VatId>>(capnp::makeRpcClient(*net));
    capnp::MallocMessageBuilder message;
    auto vat = message.initRoot<capnp::rpc::twoparty::VatId>();
    vat.setSide(capnp::rpc::twoparty::Side::SERVER);
    gate = rpc->bootstrap(vat).castAs<schema::Gate>();
  }
  ~Peer() {
    gate = nullptr;
    session = nullptr;
    rpc = nullptr;
    net = nullptr;
  }

  struct Claims {
    std::string id = "sly";
    schema::Role role = schema::Role::ROBOT;
    uint64_t incarnation = 1;
    uint16_t protocol = 1;
    uint64_t first_seq = 0;
    size_t version_chars = 5;
  };
  // The error of the hello, or "" and a session.
  std::string hello(const Claims& claims) {
    auto request = gate.helloRequest();
    auto hello = request.initHello();
    auto node = hello.initNode();
    node.setNodeId(claims.id.c_str());
    node.setRole(claims.role);
    node.setSoftwareVersion(std::string(claims.version_chars, 'v').c_str());
    node.setProtocolMin(claims.protocol);
    node.setProtocolMax(claims.protocol);
    hello.setIncarnation(claims.incarnation);
    hello.setFirstSeq(claims.first_seq);
    return error_of([&] { session = request.send().wait(io.waitScope).getSession(); });
  }
  template <class F>
  std::string error_of(F&& action) {
    std::string error;
    KJ_IF_MAYBE (exception, kj::runCatchingExceptions([&] { action(); })) {
      error = exception->getDescription().cStr();
      if (exception->getType() == kj::Exception::Type::UNIMPLEMENTED) error = "unimplemented";
      if (exception->getType() == kj::Exception::Type::DISCONNECTED) error = "disconnected";
    }
    return error;
  }
  auto append(const std::string& text) {
    auto request = session.appendRequest();
    request.setBlock(capnp::Data::Reader(reinterpret_cast<const kj::byte*>(text.data()), text.size()));
    return request.send();
  }

  kj::AsyncIoContext io;
  kj::Own<kj::TlsContext> tls;
  kj::Own<kj::AsyncIoStream> stream;
  kj::Own<capnp::TwoPartyVatNetwork> net;
  kj::Own<capnp::RpcSystem<capnp::rpc::twoparty::VatId>> rpc;
  schema::Gate::Client gate = nullptr;
  schema::Session::Client session = nullptr;
};

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// Writes and never reads.
class DeafStream final : public kj::AsyncIoStream {
 public:
  explicit DeafStream(kj::AsyncIoStream& inner) : inner_(inner) {}
  kj::Promise<size_t> tryRead(void*, size_t, size_t) override { return kj::NEVER_DONE; }
  kj::Promise<void> write(const void* buffer, size_t size) override { return inner_.write(buffer, size); }
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) override {
    return inner_.write(pieces);
  }
  kj::Promise<void> whenWriteDisconnected() override { return inner_.whenWriteDisconnected(); }
  void shutdownWrite() override {}

 private:
  kj::AsyncIoStream& inner_;
};

}  // namespace

TEST_CASE("network/hostile: a peer that asks and never reads the answers is put out before they fill the memory") {
  Limits limits = quick_limits();
  limits.message_bytes_max = 1 << 20;
  limits.block_bytes_max = 64 << 10;
  limits.window_bytes = 64 << 10;
  Centre centre(limits);
  Peer peer(centre.port, Role::operator_, "deaf", false);
  DeafStream deaf(*peer.stream);
  capnp::TwoPartyVatNetwork net(deaf, capnp::rpc::twoparty::Side::CLIENT);
  auto rpc = capnp::makeRpcClient(net);
  capnp::MallocMessageBuilder message;
  auto vat = message.initRoot<capnp::rpc::twoparty::VatId>();
  vat.setSide(capnp::rpc::twoparty::Side::SERVER);
  auto hello = rpc.bootstrap(vat).castAs<schema::Gate>().helloRequest();
  auto node = hello.initHello().initNode();
  node.setNodeId("deaf");
  node.setRole(schema::Role::OPERATOR);
  node.setProtocolMin(1);
  node.setProtocolMax(1);
  auto greeting = hello.send();
  auto session = greeting.getSession();
  // Turns of our own loop until the centre has logged `text`; 20 s at most.
  const auto turn_until = [&](std::string_view logged) {
    for (int i = 0; i < 20'000 && centre.log.count(logged) == 0; ++i)
      peer.io.provider->getTimer().afterDelay(1 * kj::MILLISECONDS).wait(peer.io.waitScope);
    return centre.log.count(logged) > 0;
  };
  REQUIRE(turn_until("network.session_up peer=operator/deaf"));
  const std::string text(500'000, 'q');
  std::vector<kj::Promise<void>> calls;
  for (int i = 0; i < 40; ++i) {
    auto query = session.queryRequest();
    query.setRequest(text.c_str());
    calls.push_back(query.send().ignoreResult());
  }
  CHECK(turn_until("reason=\"does not read its answers\""));
  CHECK(centre.serves());
}

TEST_CASE("network/hostile: what a hello may not say") {
  Centre centre;
  CHECK(contains(Peer(centre.port).hello({.id = "other"}),
                 "[drover refused] hello.node: says robot/other but the certificate says robot/sly"));
  CHECK(contains(Peer(centre.port).hello({.role = schema::Role::COORDINATOR}), "but the certificate says robot/sly"));
  CHECK(contains(Peer(centre.port).hello({.role = static_cast<schema::Role>(999)}), "but the certificate says"));
  CHECK(contains(Peer(centre.port).hello({.incarnation = 0}), "hello.incarnation: must not be 0"));
  CHECK(contains(Peer(centre.port).hello({.protocol = 9}), "unsupported_version"));
  CHECK(contains(Peer(centre.port).hello({.first_seq = 5}), "hello.firstSeq: is after lastSeq"));
  CHECK(Peer(centre.port).hello({.version_chars = 100'000}) == "disconnected");  // over hello_bytes_max
  CHECK(centre.seen.count("hello") == 0);
  CHECK(Peer(centre.port).hello({}) == "");
}

TEST_CASE("network/hostile: no call works before hello, and a second hello is refused without harm to the session") {
  Centre centre;
  Peer peer(centre.port);
  auto early = peer.gate.castAs<schema::Session>();
  CHECK(peer.error_of([&] { early.pingRequest().send().wait(peer.io.waitScope); }) == "unimplemented");
  auto append = early.appendRequest();
  append.setBlock(capnp::Data::Reader(reinterpret_cast<const kj::byte*>("1-1:"), 4));
  CHECK(peer.error_of([&] { append.send().wait(peer.io.waitScope); }) == "unimplemented");
  CHECK(peer.hello({}) == "");
  schema::Session::Client session = peer.session;
  CHECK(contains(peer.hello({}), "one hello per connection"));
  peer.session = session;
  CHECK(peer.append("1-1:x").wait(peer.io.waitScope).getAck().getDurableSeq() == 1);
  CHECK(centre.seen.count("hello") == 1);
}

TEST_CASE("network/hostile: blocks over the limit, over the window and over the message size") {
  Limits limits = quick_limits();
  limits.block_bytes_max = 64 << 10;
  limits.window_bytes = 64 << 10;
  limits.message_bytes_max = 1 << 20;
  Centre centre(limits);
  Peer peer(centre.port);
  REQUIRE(peer.hello({}) == "");
  CHECK(contains(peer.error_of([&] { peer.append(std::string(70'000, 'x')).wait(peer.io.waitScope); }),
                 "[drover too_large] session.append: 70000 bytes"));
  {
    std::lock_guard lock(centre.seen.mutex);
    centre.seen.mute = true;  // nothing is answered: the window fills
  }
  auto first = peer.append("1-1:" + std::string(60'000, 'x'));
  auto second = peer.append("2-2:" + std::string(60'000, 'x'));
  auto third = peer.append("3-3:" + std::string(60'000, 'x'));
  CHECK(third.wait(peer.io.waitScope).getAck().getStatus() == schema::AckStatus::OVERLOADED);
  CHECK(peer.error_of([&] { peer.append(std::string(2 << 20, 'x')).wait(peer.io.waitScope); }) == "disconnected");
  {
    std::lock_guard lock(centre.seen.mutex);
    centre.seen.mute = false;
  }
  CHECK(centre.log.wait_for("network.session_down peer=robot/sly"));
  CHECK(centre.serves());
}

TEST_CASE("network/hostile: a coordinator's certificate opens a session in which nothing may be called") {
  Centre centre;
  Peer peer(centre.port, Role::coordinator, "fake");
  REQUIRE(peer.hello({.id = "fake", .role = schema::Role::COORDINATOR}) == "");
  for (int i = 0; i < 100; ++i)
    CHECK(contains(peer.error_of([&] { peer.append("1-1:").wait(peer.io.waitScope); }),
                   "[drover refused] session.append: a coordinator may not call append"));
  CHECK(centre.log.count("may not call append") == 1);
}

}  // namespace drover::test
