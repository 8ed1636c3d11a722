
while (($line = fgets(STDIN)) !== false) {
    $q = json_decode($line, true);
    $verify = ['standard' => 'verifyStandard', 'ed25519' => 'verifyEd25519', 'stripe' => 'verifyStripe', 'github' => 'verifyGitHub'][$q['scheme']];
    echo $verify($q['secret'], $q['headers'], base64_decode($q['body'])) === true ? "true\n" : "false\n";
}
