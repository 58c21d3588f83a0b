// Publishing knowledge: requests survive JSON, versions rise, documents stay, what is wrong is named.
#include "actors/fleet/publish.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>

using namespace drover;

namespace {

struct Fixture {
  std::string path = (std::filesystem::temp_directory_path() / "drover-publish-XXXXXX").string();
  std::unique_ptr<sync::CentralStore> store;
  Ed25519KeyPair key;

  Fixture() {
    REQUIRE(::mkdtemp(path.data()) != nullptr);
    sync::CentralStoreOptions options;
    options.path = path;
    options.sync = storage::Sync::nosync;
    options.map_initial_bytes = 1u << 20;
    auto opened = sync::CentralStore::open(options);
    REQUIRE(opened);
    store = std::move(*opened);
    auto made = generate_ed25519();
    REQUIRE(made);
    key = *made;
  }
  ~Fixture() {
    store.reset();
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

fleet::PublishRequest request_of(std::map<std::string, Bytes> documents) {
  fleet::PublishRequest request;
  request.documents = std::move(documents);
  request.author = "operator/ops";
  return request;
}

}  // namespace

TEST_CASE("fleet/publish: a request survives its JSON form, bytes that are no text included") {
  auto request = request_of({{"words", Bytes::copy_of("gr\xc3\xbc\xc3\x9f\n")}, {"raw", Bytes::copy_of("\xff\x01")}});
  request.remove = {"old"};
  request.only = true;
  const std::string text = fleet::publish_json(request);
  CHECK(fleet::is_publish(text));
  const auto back = fleet::parse_publish(text, "operator/ops");
  REQUIRE_MESSAGE(back.has_value(), (back ? "" : back.error().message()));
  CHECK(back->documents == request.documents);
  CHECK(back->remove == request.remove);
  CHECK(back->only);
}

TEST_CASE("fleet/publish: what is wrong is named") {
  auto error = [](const char* text) {
    const auto parsed = fleet::parse_publish(text, "a");
    REQUIRE_FALSE(parsed);
    return parsed.error().message();
  };
  const auto has = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  CHECK(has(error("[]"), "not a JSON object"));
  CHECK(has(error(R"({"call":"knowledge.publish"})"), "at least one document"));
  CHECK(has(error(R"({"documents":{"a":{"text":1}}})"), "documents.a"));
  CHECK(has(error(R"({"documents":{"a":{"hex":"0g"}}})"), "documents.a"));
  CHECK(has(error(R"({"documents":{"":{"text":"x"}}})"), "1 to 128"));
  CHECK(has(error(R"({"document":{}})"), "document"));
  CHECK_FALSE(fleet::is_publish(R"({"call":"knowledge.show"})"));
  CHECK_FALSE(fleet::is_publish("nonsense"));
}

TEST_CASE("fleet/publish: documents are laid over what is in force, signed and versioned") {
  Fixture f;
  auto first = fleet::publish(*f.store, request_of({{"a", Bytes::copy_of("1")}, {"b", Bytes::copy_of("2")}}), f.key, 5);
  REQUIRE(first);
  CHECK(first->version == 1);
  auto request = request_of({{"b", Bytes::copy_of("3")}});
  auto second = fleet::publish(*f.store, request, f.key, 6);
  REQUIRE(second);
  CHECK(second->version == 2);
  CHECK(second->documents.size() == 2);
  request.remove = {"zzz"};
  CHECK_FALSE(fleet::publish(*f.store, request, f.key, 7));
  const auto held = f.store->knowledge();
  REQUIRE(held);
  CHECK(held->version == 2);
  const auto signed_knowledge = decode_signed_knowledge(held->bytes);
  REQUIRE(signed_knowledge);
  CHECK(verify_knowledge(*signed_knowledge, f.key.public_key));
  const auto knowledge = decode_knowledge(signed_knowledge->body);
  REQUIRE(knowledge);
  CHECK(knowledge->documents.at("b").text() == "3");
  CHECK(knowledge->author == "operator/ops");
  request.remove.clear();
  request.only = true;
  const auto only = fleet::publish(*f.store, request, f.key, 8);
  REQUIRE(only);
  CHECK(only->documents.size() == 1);
}
