# SPDX-License-Identifier: Apache-2.0
# Completion of mcpctl for bash.

_mcpctl() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command= i
    local talk='--url --netrc --cert --key --cacert --unix-socket'

    case $before in
    --token-file | --httpd | --cacert | --cert | --key | --key-file | --unix-socket)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
        ;;
    --url | --document | --person | --client | --grant | --before) return ;;
    esac
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} = -* ]] || { command=${COMP_WORDS[i]}; break; }
    done
    case $command in
    '') set -- --json --help --version check-config doctor keygen rekey verify-audit status sessions revoke block-client ;;
    check-config) set -- --strict --httpd ;;
    doctor) set -- --no-register --document --no-document --token-file --cacert ;;
    verify-audit) set -- --key-file --partial ;;
    status) set -- $talk ;;
    sessions) set -- --person --client --grant $talk ;;
    revoke) set -- --person --client --grant --before $talk ;;
    block-client) set -- --client $talk ;;
    *) set -- ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$*" -- "$word")
    case $command in
    keygen | rekey | verify-audit) mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$word") ;;
    esac
}
complete -F _mcpctl mcpctl
