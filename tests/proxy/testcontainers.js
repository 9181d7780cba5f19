// SPDX-License-Identifier: MIT
// Leaves behind all that it makes, as a run does that is killed.
const { GenericContainer, Network, Wait } = require("testcontainers");

(async () => {
  const network = await new Network().start();
  const server = await new GenericContainer("pnx-test:1")
    .withNetwork(network)
    .withNetworkAliases("server")
    .withCopyContentToContainer([{ content: "hello", target: "/www/index.html" }])
    .withCommand(["sh", "-c", "echo serving; exec httpd -f -p 8080 -h /www"])
    .withExposedPorts(8080)
    .withWaitStrategy(Wait.forAll([
      Wait.forLogMessage("serving"), Wait.forHttp("/index.html", 8080)]))
    .start();
  const client = await new GenericContainer("pnx-test:1")
    .withNetwork(network)
    .withCommand(["sleep", "1000"])
    .start();
  const { output, exitCode } = await client.exec(["wget", "-qO-", "http://server:8080/"]);
  const answer = await fetch(`http://${server.getHost()}:${server.getMappedPort(8080)}/`);
  console.log(JSON.stringify({
    output, exitCode, outside: await answer.text(),
    ids: [server.getId(), client.getId()], network: network.getId(),
  }));
  process.exit(0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
